//! What is known of trackers that many have: mappings that ship with the program, as data.

use crate::decide::close;

/// The presets, by name: what they say, as it could stand under `[[tracker]]` in `ca.toml`.
pub const PRESETS: &[(&str, &str)] = &[
    ("github", include_str!("../outside/tickets/presets/github.toml")),
    ("gitlab", include_str!("../outside/tickets/presets/gitlab.toml")),
    ("jira-8", include_str!("../outside/tickets/presets/jira-8.toml")),
    ("jira-cloud", include_str!("../outside/tickets/presets/jira-cloud.toml")),
    ("pagerduty", include_str!("../outside/tickets/presets/pagerduty.toml")),
    ("redmine", include_str!("../outside/tickets/presets/redmine.toml")),
    ("rt-5", include_str!("../outside/tickets/presets/rt-5.toml")),
    ("salesforce", include_str!("../outside/tickets/presets/salesforce.toml")),
    ("servicenow", include_str!("../outside/tickets/presets/servicenow.toml")),
    ("servicenow-change", include_str!("../outside/tickets/presets/servicenow-change.toml")),
];

/// The text of a preset; for an unknown one what there is.
pub fn text(name: &str) -> Result<&'static str, String> {
    if let Some((_, text)) = PRESETS.iter().find(|(known, _)| *known == name) {
        return Ok(text);
    }
    let known = PRESETS.iter().map(|(name, _)| *name);
    let all = known.clone().collect::<Vec<_>>().join(", ");
    let near = close(name, known).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    Err(format!("there is no preset {name:?}: {near}there are {all}"))
}

/// What it is for: the first line of its text.
pub fn title(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches('#').trim()
}
