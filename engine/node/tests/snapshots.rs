//! A wrong snapshot is refused with the field and what is wrong with it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_node::Snapshot;
use overlayd_node::snapshot::{Classifier, RepairRow};

/// A good snapshot of node 1 among three, with a route to 2 by 3.
fn good() -> Snapshot {
    let mut tables = snapshot(1, &[1, 2, 3], &[2, 3]);
    tables.routes.push(route(2, &[&[3, 2], &[2]]));
    tables
}

/// Field and problem of the refusal.
fn refusal(change: impl FnOnce(&mut Snapshot)) -> (String, String) {
    let mut tables = good();
    change(&mut tables);
    let error = tables.validate().unwrap_err();
    (error.field, error.problem)
}

#[test]
fn a_good_snapshot_survives_json() {
    let text = serde_json::to_string(&good()).unwrap();
    assert_eq!(Snapshot::from_json(&text).unwrap(), good());
}

#[test]
fn json_errors_name_the_field() {
    let text = serde_json::to_string(&good()).unwrap();
    for (from, to, field) in [
        ("\"mtu\":1500", "\"mtu\":\"large\"", "links[0].mtu"),
        ("\"mtu\":1500", "\"mut\":1500", "links[0].mut"),
        ("\"10.9.0.2/32\"", "\"10.9.0.2/33\"", "peers[0].prefixes[0]"),
        ("\"aes256-gcm\"", "\"rot13\"", "network.suite"),
        ("\"192.0.0.3:4500\"", "\"nowhere\"", "links[1].remote"),
        ("{\"schema\"", "{\"extra\":1,\"schema\"", "extra"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = Snapshot::from_json(&text.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
    for broken in [
        "",
        "{",
        "[]",
        "null",
        &text[..text.len() - 1],
        &format!("{text}x"),
    ] {
        assert!(Snapshot::from_json(broken).is_err(), "{broken:.20}");
    }
}

#[test]
fn each_rule_names_what_breaks_it() {
    let prefix = |text: &str| text.to_string().try_into().unwrap();
    let cases: Vec<(&str, (String, String))> = vec![
        ("schema", refusal(|it| it.schema = 2)),
        ("generation", refusal(|it| it.generation = 0)),
        ("network.psk", refusal(|it| it.network.psk = "ab".into())),
        ("network.psk", refusal(|it| it.network.psk = "0".repeat(64))),
        (
            "node.addresses[0]",
            refusal(|it| it.node.addresses[0] = overlay(77)),
        ),
        ("peers[0].id", refusal(|it| it.peers[0].id = 1)),
        ("peers[1].id", refusal(|it| it.peers[1].id = 2)),
        (
            "peers[1].name",
            refusal(|it| it.peers[1].name = "n2".into()),
        ),
        (
            "peers[0].public_key",
            refusal(|it| it.peers[0].public_key = "x".repeat(64)),
        ),
        (
            "peers[1].public_key",
            refusal(|it| it.peers[1].public_key = it.peers[0].public_key.clone()),
        ),
        (
            "peers[1].prefixes[2]",
            refusal(|it| it.peers[1].prefixes.push(prefix("10.9.0.2/32"))),
        ),
        (
            "node.prefixes[0]",
            refusal(|it| it.peers[1].prefixes.push(prefix("10.9.0.0/30"))),
        ),
        (
            "node.prefixes[2]",
            refusal(|it| it.node.prefixes.push(prefix("10.8.0.1/24"))),
        ),
        ("links[1].id", refusal(|it| it.links[1].id = 2)),
        ("links[0].peer", refusal(|it| it.links[0].peer = 9)),
        (
            "links[1].remote",
            refusal(|it| it.links[1].remote = it.links[0].remote),
        ),
        (
            "links[0].remote",
            refusal(|it| it.links[0].remote = Some("0.0.0.0:1".parse().unwrap())),
        ),
        ("links[0].mtu", refusal(|it| it.links[0].mtu = 500)),
        (
            "links[0].mtu",
            refusal(|it| {
                it.links[0].remote = Some("[2001:db8::1]:1".parse().unwrap());
                it.links[0].mtu = 1279;
            }),
        ),
        (
            "links[0].rate_bps",
            refusal(|it| it.links[0].rate_bps = Some(0)),
        ),
        ("classes", refusal(|it| it.classes.clear())),
        (
            "classes",
            refusal(|it| it.classes = (0..17).map(|n| class(&n.to_string())).collect()),
        ),
        (
            "classes[1].name",
            refusal(|it| it.classes.push(class("default"))),
        ),
        (
            "classes[0].repair_cap_ratio",
            refusal(|it| it.classes[0].repair_cap_ratio = f64::NAN),
        ),
        (
            "classes[0].repair[1].loss_ratio",
            refusal(|it| {
                it.classes[0].repair = vec![RepairRow::flat(0.1, 0.1); 2];
            }),
        ),
        (
            "classes[0].repair[0].again",
            refusal(|it| {
                it.classes[0].repair = vec![RepairRow {
                    again: vec![1.0, -1.0],
                    ..RepairRow::flat(0.1, 0.1)
                }];
            }),
        ),
        ("classes[0].weight", refusal(|it| it.classes[0].weight = 0)),
        (
            "classes[0].weight",
            refusal(|it| it.classes[0].weight = 1001),
        ),
        (
            "classes[0].priority_ratio",
            refusal(|it| it.classes[0].priority_ratio = -0.1),
        ),
        (
            "classes[1].priority_ratio",
            refusal(|it| {
                it.classes.push(class("another"));
                for class in &mut it.classes {
                    class.priority_ratio = 0.5;
                }
            }),
        ),
        (
            "classifiers[0].destination",
            refusal(|it| {
                it.classifiers.push(Classifier {
                    destination: Some("10.0.0.1/8".to_owned().try_into().unwrap()),
                    ..classifier(0)
                });
            }),
        ),
        (
            "classifiers[0].class",
            refusal(|it| it.classifiers.push(classifier(1))),
        ),
        (
            "classifiers[0].dscp",
            refusal(|it| {
                it.classifiers.push(Classifier {
                    dscp: Some(64),
                    ..classifier(0)
                });
            }),
        ),
        (
            "routes[0].destination",
            refusal(|it| it.routes[0].destination = 9),
        ),
        ("routes[0].class", refusal(|it| it.routes[0].class = 1)),
        (
            "routes[1].destination",
            refusal(|it| it.routes.push(route(2, &[&[2]]))),
        ),
        ("routes[0].paths", refusal(|it| it.routes[0].paths.clear())),
        (
            "routes[0].paths[1]",
            refusal(|it| it.routes[0].paths[1] = vec![3, 2]),
        ),
        (
            "routes[0].paths[0]",
            refusal(|it| it.routes[0].paths[0] = vec![2, 3]),
        ),
        (
            "routes[0].paths[0]",
            refusal(|it| it.routes[0].paths[0] = vec![]),
        ),
        (
            "routes[0].paths[0]",
            refusal(|it| it.routes[0].paths[0] = vec![3, 4, 5, 6, 7, 2]),
        ),
        (
            "routes[0].paths[0][0]",
            refusal(|it| it.routes[0].paths[0] = vec![1, 2]),
        ),
        (
            "routes[0].paths[0][1]",
            refusal(|it| it.routes[0].paths[0] = vec![3, 3, 2]),
        ),
        (
            "routes[0].paths[0][0]",
            refusal(|it| it.routes[0].paths[0] = vec![9, 2]),
        ),
        (
            "routes[0].paths[0][0]",
            refusal(|it| it.peers[1].relay = false),
        ),
    ];
    for (field, (found, problem)) in cases {
        assert_eq!(found, field, "{problem}");
    }
}

#[test]
fn generations_only_grow_and_the_same_again_is_no_news() {
    let mut mesh = Mesh::new(1, delay(1));
    mesh.add(good());
    let now = mesh.now;
    let node = mesh.node(1);
    assert!(node.apply(now, good()).is_ok());
    let other = Snapshot {
        route_generation: 5,
        ..good()
    };
    assert_eq!(
        node.apply(now, other.clone()).unwrap_err().field,
        "generation"
    );
    assert!(
        node.apply(
            now,
            Snapshot {
                generation: 3,
                ..other
            }
        )
        .is_ok()
    );
    assert_eq!(node.apply(now, good()).unwrap_err().field, "generation");
}

#[test]
fn tables_from_before_a_revocation_are_refused() {
    let mut mesh = Mesh::new(1, delay(1));
    mesh.add(good());
    let now = mesh.now;
    let tables = |generation, revocation_epoch| Snapshot {
        generation,
        revocation_epoch,
        ..good()
    };
    let node = mesh.node(1);
    node.apply(now, tables(2, 7)).unwrap();
    assert_eq!(
        node.apply(now, tables(3, 6)).unwrap_err().field,
        "revocation_epoch"
    );
    node.apply(now, tables(3, 7)).unwrap();
    // Who has left may join anew, whatever the network remembers.
    let mut left = tables(4, 7);
    (left.peers, left.links, left.routes) = (Vec::new(), Vec::new(), Vec::new());
    node.apply(now, left).unwrap();
    node.apply(now, tables(5, 1)).unwrap();
    let mut elsewhere = tables(6, 0);
    elsewhere.network.id += 1;
    node.apply(now, elsewhere).unwrap();
}

fn classifier(class: u8) -> Classifier {
    Classifier {
        class,
        ..Classifier::default()
    }
}
