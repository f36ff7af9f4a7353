//! Lists that other tools keep: Ansible's inventory, Terraform's outputs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::import::{Row, Rows, What};

/// `ansible-inventory --list`: a host's groups, and those they are in, become tags, `ansible_host` an
/// address, `ansible_user` an account.
pub(super) fn ansible(what: What, text: &str) -> Result<Rows, String> {
    if what == What::People {
        return Err("an inventory of Ansible's knows hosts, not people".to_owned());
    }
    let all: Map<String, Value> = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let vars = all.get("_meta").and_then(|meta| meta.get("hostvars")).and_then(Value::as_object);
    let vars = vars.ok_or("no _meta.hostvars: is it what ansible-inventory --list prints?")?;
    let mut tags: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (group, members) in all.iter().filter(|(group, _)| *group != "_meta") {
        for host in names(members, "hosts")? {
            tags.entry(host).or_default().extend(above(&all, group)?);
        }
    }
    let hosts: BTreeSet<&str> =
        tags.keys().copied().chain(vars.keys().map(String::as_str)).collect();
    let mut rows = Rows::default();
    for name in hosts {
        let place = format!("host {name:?}");
        let mut fields = Map::new();
        let var = |var: &str| match vars.get(name).and_then(|vars| vars.get(var)) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(format!("{place}: {var} is {other}, not text")),
        };
        if let Some(address) = var("ansible_host")?.filter(|address| *address != name) {
            fields.insert("addresses".to_owned(), vec![Value::from(address)].into());
        }
        let tags = tags.get(name).into_iter().flatten();
        fields.insert("tags".to_owned(), tags.map(|tag| Value::from(*tag)).collect());
        if let Some(user) = var("ansible_user")? {
            fields.insert("accounts".to_owned(), vec![Value::from(user)].into());
        }
        rows.rows.push(Row { place, name: name.to_owned(), fields });
    }
    Ok(rows)
}

/// A group and those it is in; `all` and `ungrouped` say nothing.
fn above<'a>(all: &'a Map<String, Value>, group: &'a str) -> Result<BTreeSet<&'a str>, String> {
    let mut found = BTreeSet::new();
    let mut open = vec![group];
    while let Some(group) = open.pop() {
        // Known already: a circle of groups has an end.
        if !found.insert(group) {
            continue;
        }
        for (parent, members) in all.iter().filter(|(parent, _)| *parent != "_meta") {
            if names(members, "children")?.contains(&group) {
                open.push(parent);
            }
        }
    }
    found.remove("all");
    found.remove("ungrouped");
    Ok(found)
}

/// A list of names in a group.
fn names<'a>(group: &'a Value, list: &str) -> Result<Vec<&'a str>, String> {
    let Some(names) = group.get(list) else { return Ok(Vec::new()) };
    let names = names.as_array().map(|names| names.iter().map(Value::as_str).collect());
    names.flatten().ok_or_else(|| format!("{list} of a group is no list of names"))
}

/// What Terraform's modules call what hallpass calls otherwise.
const CALLED: &[(&str, &str)] = &[
    ("hostname", "name"),
    ("address", "addresses"),
    ("ip", "addresses"),
    ("ip_address", "addresses"),
    ("private_ip", "addresses"),
    ("public_ip", "addresses"),
    ("ipv4_address", "addresses"),
    ("ipv6_address", "addresses"),
    ("alias", "aliases"),
    ("fqdn", "aliases"),
    ("private_dns", "aliases"),
    ("public_dns", "aliases"),
    ("tag", "tags"),
    ("account", "accounts"),
    ("login", "accounts"),
    ("user", "accounts"),
    ("host_key", "host_keys"),
    ("group", "groups"),
    ("key", "keys"),
    ("ssh_key", "keys"),
    ("ssh_keys", "keys"),
    ("public_key", "keys"),
    ("public_keys", "keys"),
];

/// `terraform output -json`: each output that is a list of objects with a name, or a map of objects by
/// name. What else there is is passed over, and told.
pub(super) fn terraform(what: What, text: &str) -> Result<Rows, String> {
    let all: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let mut rows = Rows::default();
    let mut unread = BTreeSet::new();
    for (output, said) in &all {
        let value = said.get("value").filter(|_| said.get("type").is_some());
        let value = value.ok_or_else(|| {
            format!("{output}: no value with a type: is it what terraform output -json prints?")
        })?;
        if said.get("sensitive") == Some(&Value::Bool(true)) {
            rows.passed_over.push(format!("output {output} is sensitive"));
            continue;
        }
        let objects: Option<Vec<(String, &Map<String, Value>)>> = match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(at, one)| Some((at.to_string(), one.as_object()?)))
                .collect(),
            Value::Object(map) => map
                .iter()
                .map(|(name, one)| Some((format!("{name:?}"), one.as_object()?)))
                .collect(),
            _ => None,
        };
        let Some(objects) = objects else {
            rows.passed_over.push(format!("output {output} is no list or map of objects"));
            continue;
        };
        for (at, object) in objects {
            let place = format!("output {output}[{at}]");
            let mut row = read(what, object, place, &mut unread)?;
            if let (true, Some(Ok(key))) = (
                row.name.is_empty() && value.is_object(),
                Some(serde_json::from_str::<String>(&at)),
            ) {
                row.name = key;
            }
            rows.rows.push(row);
        }
    }
    if !unread.is_empty() {
        let unread: Vec<&str> = unread.into_iter().collect();
        rows.passed_over.push(format!("fields without a meaning here: {}", unread.join(", ")));
    }
    Ok(rows)
}

/// One object.
fn read<'a>(
    what: What,
    object: &'a Map<String, Value>,
    place: String,
    unread: &mut BTreeSet<&'a str>,
) -> Result<Row, String> {
    let (mut name, mut fields) = (String::new(), Map::new());
    for (called, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let field = CALLED
            .iter()
            .find(|(theirs, _)| theirs == called)
            .map_or(called.as_str(), |(_, ours)| ours);
        let wrong = |wanted: &str| format!("{place}: {called} is {value}, not {wanted}");
        if field == "name" {
            name = value.as_str().ok_or_else(|| wrong("text"))?.to_owned();
        } else if what.lists().contains(&field) {
            let items = match value {
                Value::Array(items) => items.clone(),
                one => vec![one.clone()],
            };
            // An address that is not there yet is an empty text.
            let items = items.into_iter().filter(|item| item.as_str() != Some(""));
            let items: Vec<Value> = items.collect();
            if !items.iter().all(Value::is_string) {
                return Err(wrong("text or a list of text"));
            }
            let list = fields.entry(field).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.extend(items);
            }
        } else if what.texts().contains(&field) || what.flags().contains(&field) {
            fields.insert(field.to_owned(), value.clone());
        } else {
            unread.insert(called);
        }
    }
    Ok(Row { place, name, fields })
}
