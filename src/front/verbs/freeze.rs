//! The words of `freeze` and `thaw`.

use clap::Args;

use crate::certificate::names::Reason;
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;
use crate::desk::freezing::FreezeAsk;

/// What may be typed.
#[derive(Args)]
pub(super) struct FreezeWords {
    name: Option<String>,
    #[arg(long)]
    tag: Vec<String>,
    #[arg(long = "for")]
    period: Option<String>,
    #[arg(long)]
    reason: Option<String>,
}

/// Reads them; what is wrong and what to type instead.
pub(super) fn ask(words: FreezeWords, lifting: bool) -> Result<FreezeAsk, (String, String)> {
    let verb = if lifting { "thaw" } else { "freeze" };
    let form = match lifting {
        true => "ssh ca thaw NAME --reason TEXT; ssh ca freezes shows the names".to_owned(),
        false => "ssh ca freeze NAME [--tag TAG] [--for 4h] --reason TEXT".to_owned(),
    };
    let wrong = |what: String| (what, form.clone());
    let FreezeWords { name, tag, period, reason } = words;
    let Some(name) = name else {
        return Err(wrong(format!("the name of what to {verb} is missing")));
    };
    let name = name.parse().map_err(|why| wrong(format!("{}: {why}", Safe(&name))))?;
    if lifting && (!tag.is_empty() || period.is_some()) {
        return Err(wrong(
            "thaw lifts the whole freeze: --tag and --for are for freeze".to_owned(),
        ));
    }
    let tags = tag.iter().flat_map(|tags| tags.split(','));
    let tags =
        tags.map(|tag| tag.parse().map_err(|why| wrong(format!("--tag {}: {why}", Safe(tag)))));
    let period: Option<Span> = match period {
        Some(text) => {
            let span = text.parse();
            Some(span.map_err(|why| wrong(format!("--for {}: {why}", Safe(&text))))?)
        }
        None => None,
    };
    if period.is_some_and(|period| period.as_secs() == 0) {
        return Err(wrong("--for 0s freezes nothing".to_owned()));
    }
    let Some(reason) = reason else {
        let what = "--reason is missing: it is what everybody is told".to_owned();
        return Err((what, format!("ssh ca {verb} {name} --reason TEXT")));
    };
    let reason: Reason = reason.parse().map_err(|why| {
        (format!("--reason {}: {why}", Safe(&reason)), "--reason TEXT".to_owned())
    })?;
    Ok(FreezeAsk { name, lifting, tags: tags.collect::<Result<_, _>>()?, period, reason })
}
