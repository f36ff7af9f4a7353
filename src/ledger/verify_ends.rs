//! What an ended grant still gave: nothing, or the ledger is not one that this program wrote.

use std::collections::HashMap;

use serde_json::Value;

use crate::certificate::time::UnixTime;

/// The requests whose grants ended before their time, and until when anything could have come of them.
#[derive(Default)]
pub(super) struct Ends(HashMap<String, UnixTime>);

/// How many are remembered before those that are long over are dropped.
const MANY: usize = 10_000;

impl Ends {
    /// Takes the next entry; `now` is the newest time before it.
    pub(super) fn check(&mut self, kind: &str, facts: &Value, now: UnixTime) -> Result<(), String> {
        let text = |name: &str| facts.get(name).and_then(Value::as_str);
        let Some(request) = text("request") else { return Ok(()) };
        match kind {
            "end" => {
                if self.0.len() >= MANY {
                    self.0.retain(|_, ends| *ends > now);
                }
                let ends = text("grant_ends").and_then(|ends| ends.parse().ok());
                let ends: UnixTime =
                    ends.ok_or("the end says not when its grant would have ended")?;
                self.0.insert(request.to_owned(), ends);
                Ok(())
            }
            "certificate" | "grant" if self.0.contains_key(request) => {
                Err(format!("it is of {request}, which had ended"))
            }
            _ => Ok(()),
        }
    }
}
