//! `explain` and `catalog`: what policy would say, to whoever asks and to the operator; nothing is written.

use serde_json::Value;

use crate::ca::Ca;

#[test]
fn a_dry_run_says_what_decides_and_what_each_other_offer_misses() {
    let ca = Ca::start();
    let before = ca.entries().len();
    let said = ca.ssh("ana", &["explain", "deploy@web01", "OPS-7"]);
    assert!(said.code == 0 && said.err.is_empty(), "{said:?}");
    assert!(
        said.out.starts_with(
            "ana would be granted deploy@web01 by offer deploy-prod: 10m certificates within 1h\n"
        ),
        "{said:?}"
    );
    assert!(
        said.out.contains("  is for others: it needs resource.login == \"logs\"\n"),
        "{said:?}"
    );

    // Every condition that fails, not only the first.
    let said = ca.ssh("ana", &["explain", "root@web01", "OPS-9"]).out;
    for line in [
        "ana would be refused root@web01\n",
        "  misses: ticket OPS-9 is resolved, needs open\n",
        "  misses: ticket OPS-9 has the priority normal, offer root-prod needs high\n",
        "at most: 5m certificates, grants of 30m\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // The operator is told the same, of anybody, at any time, from anywhere.
    let words = ["explain", "ana", "root@web01", "--ticket", "OPS-9"];
    assert_eq!(ca.operator(&words).ok(), said);
    let vera = |source: &str| {
        let words = [
            "explain",
            "vera",
            "dev01",
            "--source",
            source,
            "--at",
            "2026-11-22T05:40:00Z",
            "--json",
        ];
        serde_json::from_str::<Value>(&ca.operator(&words).ok()).unwrap()
    };
    let object = vera("203.0.113.9");
    assert_eq!(
        (&object["outcome"], &object["verdict"], &object["account"]),
        (&"ok".into(), &"refused".into(), &"dev@dev01".into())
    );
    assert_eq!(object["offers"][0]["stands"], "missed", "{object}");
    let unknown = ca.operator(&["explain", "boob", "dev@dev01"]);
    assert!(unknown.code == 1 && unknown.err.contains("hint: did you mean bob?"), "{unknown:?}");

    // A lock stands above policy, and is told.
    assert_eq!(ca.ssh("ana", &["lock", "host:web01", "--reason", "disk"]).code, 0);
    let said = ca.ssh("ana", &["explain", "deploy@web01", "OPS-7"]).out;
    assert!(said.starts_with("refused: host web01 is locked since "), "{said}");
    assert!(ca.operator(&["explain", "bob", "logs@web01"]).ok().starts_with("refused: host web01"));
    // The lock is the one entry that was written.
    assert_eq!(ca.entries().len(), before + 1);
}

#[test]
fn the_catalog_shows_what_one_could_ask_for_and_what_it_takes() {
    let ca = Ca::start();
    let said = ca.ssh("bob", &["catalog"]);
    assert_eq!(said.code, 0, "{said:?}");
    for line in [
        "deploy-prod, 10m within 1h: deploy to production for a ticket of one's own\n",
        "  needs a ticket that is open, is yours, names the host or none and is in its window\n",
        "  deploy on web01, web02\n",
        "  jump on hop01\n",
        "  logs on db01, web01, web02\n",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert!(!said.out.contains("root-prod") && !said.out.contains("vendor"), "{said:?}");
    let object: Value = serde_json::from_str(&ca.ssh("vera", &["catalog", "--json"]).out).unwrap();
    assert_eq!(object["offers"][0]["accounts"][0], "dev@dev01", "{object}");
    assert_eq!(object["offers"].as_array().unwrap().len(), 1);
}
