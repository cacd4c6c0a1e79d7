//! A new snapshot takes the place of the old: links, peers and paths that stay keep what they know. Validation is in `validate`. Pure.

use std::collections::BTreeMap;

use crate::event::{Event, LinkState};
use crate::link::Link;
use crate::order::Order;
use crate::path::{PathSet, Watch};
use crate::peer::Peer;
use crate::queue::Share;
use crate::repair::Policy;
use crate::routes::Routes;
use crate::session::{LinkSettings, PeerSettings, Scope, Settings};
use crate::snapshot::{self, Snapshot, SnapshotError, key_from_hex};
use crate::tables::Tables;
use crate::{Nanos, Node};

impl Node {
    pub(crate) fn replace_tables(
        &mut self,
        now: Nanos,
        snapshot: Snapshot,
    ) -> Result<(), SnapshotError> {
        self.check(&snapshot)?;
        if self.snapshot.as_ref() == Some(&snapshot) {
            return Ok(());
        }
        if self.is_another(&snapshot) {
            self.begin_anew(now);
        }
        self.tables = Tables::build(&snapshot);
        self.pace.set_budget(snapshot.probe_budget);
        self.policies = snapshot.classes.iter().map(Policy::of).collect();
        self.shares = snapshot.classes.iter().map(Share::of).collect();
        self.replace_peers(&snapshot);
        self.replace_links(now, &snapshot.links);
        self.sessions
            .configure(now, &self.session_settings(&snapshot)?);
        self.meet(now);
        self.replace_routes(now, &snapshot);
        for place in 0..self.links.len() {
            if self.links[place].is_some() {
                self.sessions.ensure(now, Scope::Hop(place as u16));
            }
        }
        self.meet(now);
        self.reroute(now);
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Whether the snapshot may come after the one in force.
    pub(crate) fn follows(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let Some(before) = &self.snapshot else {
            return Ok(());
        };
        let wrong = |field: &str, problem| {
            Err(SnapshotError {
                field: field.into(),
                problem,
            })
        };
        let (new, old) = (snapshot.generation, before.generation);
        if new < old || new == old && snapshot != before {
            return wrong(
                "generation",
                format!("{new} does not follow {old}, which is in force"),
            );
        }
        let (new, old) = (snapshot.revocation_epoch, before.revocation_epoch);
        if new < old && !before.peers.is_empty() && !self.is_another(snapshot) {
            return wrong(
                "revocation_epoch",
                format!("{new} is before {old}, which is in force: a revoked node may be back"),
            );
        }
        Ok(())
    }

    /// Whether this host is another node by it, or one of another network: it has left and joined again.
    fn is_another(&self, snapshot: &Snapshot) -> bool {
        let member = |snapshot: &Snapshot| (snapshot.network.id, snapshot.node.id);
        let before = self.snapshot.as_ref();
        before.is_some_and(|before| member(before) != member(snapshot))
    }

    /// What was between the node before and its peers is nothing to the one that is to come, and nor are its numbers.
    fn begin_anew(&mut self, now: Nanos) {
        for place in 0..self.links.len() {
            self.drop_link(now, place);
        }
        self.peers.clear();
        self.routes = Routes::default();
        self.order = Order::default();
        self.snapshot = None;
    }

    fn replace_peers(&mut self, snapshot: &Snapshot) {
        let key_of = |snapshot: &Snapshot, id| {
            snapshot
                .peers
                .iter()
                .find(|peer| peer.id == id)
                .map(|peer| peer.public_key.clone())
        };
        let mut before: BTreeMap<u16, Peer> = std::mem::take(&mut self.peers)
            .into_iter()
            .map(|peer| (peer.id, peer))
            .collect();
        for peer in &snapshot.peers {
            let known = before.remove(&peer.id).filter(|_| {
                let old = self.snapshot.as_ref().and_then(|old| key_of(old, peer.id));
                old.as_ref() == Some(&peer.public_key)
            });
            self.peers.push(known.unwrap_or_else(|| Peer::new(peer.id)));
        }
        self.peers.sort_by_key(|peer| peer.id);
    }

    fn replace_links(&mut self, now: Nanos, links: &[snapshot::Link]) {
        let mut wanted: Vec<&snapshot::Link> = links.iter().collect();
        for place in 0..self.links.len() {
            let Some(link) = self.links[place].as_deref_mut() else {
                continue;
            };
            match wanted.iter().position(|wanted| link.is(wanted)) {
                Some(found) => {
                    link.update(wanted.remove(found), &self.shares);
                    link.set_policies(&self.policies);
                }
                None => self.drop_link(now, place),
            }
        }
        for link in wanted {
            let new = Some(Box::new(Link::new(
                link,
                self.numberings,
                &self.shares,
                now,
            )));
            self.numberings = self.numberings.wrapping_add(1);
            match self.links.iter().position(Option::is_none) {
                Some(place) => {
                    self.links[place] = new;
                    self.links_due.set(place, now);
                }
                None => {
                    self.links.push(new);
                    self.links_due.push(now);
                }
            }
        }
        for peer in &mut self.peers {
            peer.links.clear();
        }
        for (place, link) in self.links.iter().enumerate() {
            let Some(link) = link.as_deref() else {
                continue;
            };
            if let Ok(peer) = self.peers.binary_search_by_key(&link.peer, |peer| peer.id) {
                self.peers[peer].links.push(place);
            }
        }
        for peer in &mut self.peers {
            peer.choose_link(&self.links);
        }
    }

    fn drop_link(&mut self, now: Nanos, place: usize) {
        self.links_due.set(place, Nanos::MAX);
        let Some(link) = self.links[place].take() else {
            return;
        };
        if link.liveness.is_up() {
            self.output.events.push(Event::LinkState {
                at_ns: now,
                generation: self.tables.generation,
                link: link.id,
                peer: link.peer,
                state: LinkState::Down,
            });
        }
    }

    fn session_settings(&self, snapshot: &Snapshot) -> Result<Settings, SnapshotError> {
        let key = |field: String, text: &str| {
            key_from_hex(text).ok_or_else(|| SnapshotError {
                field,
                problem: "not 64 hex digits".into(),
            })
        };
        let peers = snapshot.peers.iter().enumerate().map(|(place, peer)| {
            let public_key = key(format!("peers[{place}].public_key"), &peer.public_key)?;
            Ok(PeerSettings {
                id: peer.id,
                public_key,
            })
        });
        let links = self.links.iter().enumerate().filter_map(|(place, link)| {
            let link = link.as_deref()?;
            Some(LinkSettings {
                id: place as u16,
                peer: link.peer,
                uplink: link.uplink,
                remote: link.configured,
                reflexive: link.reflexive,
                lane: link.lane,
                numbering: link.numbering,
            })
        });
        Ok(Settings {
            node: snapshot.node.id,
            network: snapshot.network.id,
            suite: snapshot.network.suite,
            psk: key("network.psk".into(), &snapshot.network.psk)?,
            peers: peers.collect::<Result<_, SnapshotError>>()?,
            links: links.collect(),
        })
    }

    fn replace_routes(&mut self, now: Nanos, snapshot: &Snapshot) {
        let ids: Vec<u16> = self.peers.iter().map(|peer| peer.id).collect();
        let generation = snapshot.route_generation as u8;
        let mut before: BTreeMap<(u16, u8), PathSet> = std::mem::take(&mut self.routes.sets)
            .into_iter()
            .map(|set| ((set.destination, set.class), set))
            .collect();
        let mut switches = Vec::new();
        let mut sets = Vec::new();
        for route in &snapshot.routes {
            let key = (route.destination, route.class);
            let via = |id: u16| ids.binary_search(&id).unwrap_or(0);
            let mut set = PathSet::new(route, snapshot.node.id, generation, via);
            let class = snapshot.classes.get(usize::from(route.class));
            if class.is_some_and(|class| class.disjoint) {
                set.copies = Some(Box::default());
            }
            if let Some(old) = before.remove(&key) {
                let switched = set.inherit(old, now, |via| self.peers[via].up);
                // Where nothing is sent, nothing moves.
                let switched = switched.filter(|_| set.watch(now) != Watch::Not);
                switches.extend(switched.map(|switched| (key, switched)));
            }
            sets.push(set);
        }
        self.routes = Routes::new(sets, &ids, snapshot.classes.len(), now);
        for (key, switched) in switches {
            if let Some(place) = self.routes.place_of(key) {
                self.report_switch(now, place, switched);
            }
        }
    }
}
