//! Other programs' trees of messages, as entries of ours: whatever they say, what comes out is a tree.
//!
//! It knows no format; `chatgpt` and `open_webui` do. Nothing here takes more than linear time and
//! memory, but for sorting.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{
    ExportedEntry,
    loose::{Raw, ids},
    note::{Note, Notes},
};
use crate::{
    chat::{Message, Role},
    ids::Seq,
    memory::{EntryBody, EntryStatus},
    time::Timestamp,
};

/// One node of a foreign tree.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) parent: Option<Cow<'a, str>>,
    /// A list of its children's ids, oldest first; for nodes that name no parent, and for order.
    pub(super) children: Raw<'a>,
    pub(super) time: Option<Timestamp>,
    pub(super) said: Said,
}

/// What a node says.
#[derive(Debug, Default)]
pub(super) enum Said {
    /// Nothing that comes in: its children go to its parent.
    #[default]
    Nothing,
    /// What the model thought before the answer that follows.
    Thought(String),
    /// A message.
    Message(Box<Remark>),
}

/// A message that comes in.
#[derive(Debug)]
pub(super) struct Remark {
    pub(super) message: Message,
    pub(super) model: Option<String>,
    pub(super) is_whole: bool,
}

/// Entries by position, and the head.
#[derive(Debug, Default)]
pub(super) struct Planted {
    pub(super) entries: Vec<ExportedEntry>,
    pub(super) head: Option<Seq>,
}

/// Where a node is in the tree that comes out.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The nearest entry at or above it.
    seq: Option<Seq>,
    /// The nearest thought at or above it and below that entry.
    thought: Option<usize>,
}

/// How a node hangs on the others, by index.
#[derive(Clone, Copy, Debug)]
struct Link {
    parent: Option<usize>,
    rank: usize,
    time: Option<Timestamp>,
}

/// Makes entries of nodes, each after the one it follows, and otherwise in the order of time, so
/// that a conversation that has grown begins with what it was.
pub(super) fn plant(
    mut nodes: Vec<Node<'_>>,
    current: Option<&str>,
    usual: Timestamp,
    notes: &mut Notes,
) -> Planted {
    let index = index(&mut nodes, notes);
    let links = links(&nodes, &index, notes);
    let current = current.and_then(|id| index.get(id).copied());
    let mut children = vec![Vec::new(); links.len()];
    for (at, link) in links.iter().enumerate() {
        if let Some(siblings) = link.parent.and_then(|parent| children.get_mut(parent)) {
            siblings.push(at);
        }
    }
    let said = nodes.into_iter().map(|node| node.said).collect();
    let mut garden = Garden { links, children, ..Garden::of(said, usual) };
    garden.grow(notes);
    let head = current.and_then(|at| garden.places.get(at)).and_then(|place| place.seq);
    let last = garden.entries.last().map(|entry| entry.seq);
    if head.is_none() && last.is_some() {
        notes.add(Note::MissingHead);
    }
    Planted { entries: garden.entries, head: head.or(last) }
}

/// Where each id is; nodes whose id is taken are dropped.
fn index(nodes: &mut Vec<Node<'_>>, notes: &mut Notes) -> HashMap<String, usize> {
    let mut index = HashMap::with_capacity(nodes.len());
    nodes.retain(|node| {
        let is_new = !index.contains_key(&*node.id);
        if is_new {
            index.insert(node.id.to_string(), index.len());
        } else {
            notes.add(Note::DuplicateId);
        }
        is_new
    });
    index
}

fn links(nodes: &[Node<'_>], index: &HashMap<String, usize>, notes: &mut Notes) -> Vec<Link> {
    let mut claims = HashMap::new();
    for (parent, node) in nodes.iter().enumerate() {
        for (rank, child) in ids(node.children).enumerate() {
            if let Some(child) = index.get(&*child) {
                claims.entry(*child).or_insert((parent, rank));
            }
        }
    }
    let link = |(at, node): (usize, &Node<'_>)| {
        let claim = claims.get(&at).copied();
        let named = node.parent.as_ref().and_then(|parent| index.get(&**parent).copied());
        if node.parent.is_some() && named.is_none() {
            notes.add(Note::MissingParent);
        }
        let parent = named.or(claim.map(|(parent, _)| parent));
        let rank =
            claim.filter(|claim| Some(claim.0) == parent).map_or(usize::MAX, |claim| claim.1);
        Link { parent, rank, time: node.time }
    };
    nodes.iter().enumerate().map(link).collect()
}

/// A tree that grows from its roots.
struct Garden {
    links: Vec<Link>,
    children: Vec<Vec<usize>>,
    said: Vec<Said>,
    /// Thoughts on the way to their answer, with the thought before each.
    thoughts: HashMap<usize, (String, Option<usize>)>,
    places: Vec<Place>,
    reached: Vec<bool>,
    /// What can grow next: the earliest first.
    ready: BinaryHeap<Reverse<(Timestamp, usize, usize)>>,
    entries: Vec<ExportedEntry>,
    usual: Timestamp,
}

impl Garden {
    fn of(said: Vec<Said>, usual: Timestamp) -> Self {
        let (places, reached) = (vec![Place::default(); said.len()], vec![false; said.len()]);
        Self {
            links: Vec::new(),
            children: Vec::new(),
            said,
            thoughts: HashMap::new(),
            places,
            reached,
            ready: BinaryHeap::new(),
            entries: Vec::new(),
            usual,
        }
    }

    fn grow(&mut self, notes: &mut Notes) {
        for at in 0..self.links.len() {
            if self.links.get(at).is_some_and(|link| link.parent.is_none()) {
                self.sprout(at, self.usual);
            }
        }
        self.grow_ready();
        // What no root leads to follows itself: it begins a branch where the file has it first.
        for at in 0..self.links.len() {
            if self.reached.get(at) == Some(&false) {
                notes.add(Note::Cycle);
                self.sprout(at, self.usual);
                self.grow_ready();
            }
        }
    }

    /// A node can grow: its parent has, at `before`.
    fn sprout(&mut self, at: usize, before: Timestamp) {
        let (Some(link), Some(reached)) = (self.links.get(at), self.reached.get_mut(at)) else {
            return;
        };
        if !std::mem::replace(reached, true) {
            self.ready.push(Reverse((link.time.unwrap_or(before), link.rank, at)));
        }
    }

    fn grow_ready(&mut self) {
        while let Some(Reverse((time, _, at))) = self.ready.pop() {
            let parent = self.links.get(at).and_then(|link| link.parent);
            let above = parent.and_then(|parent| self.places.get(parent)).copied();
            let place = self.place(at, above.unwrap_or_default(), time);
            if let Some(it) = self.places.get_mut(at) {
                *it = place;
            }
            for child in self.children.get_mut(at).map(std::mem::take).unwrap_or_default() {
                self.sprout(child, time);
            }
        }
    }

    /// Puts what a node says into the tree, below `above`.
    fn place(&mut self, at: usize, above: Place, time: Timestamp) -> Place {
        match self.said.get_mut(at).map(std::mem::take).unwrap_or_default() {
            Said::Nothing => above,
            Said::Thought(text) => {
                self.thoughts.insert(at, (text, above.thought));
                Place { thought: Some(at), ..above }
            }
            Said::Message(mut remark) => {
                if remark.message.role == Role::Assistant && remark.message.reasoning.is_none() {
                    remark.message.reasoning = self.take_thoughts(above.thought);
                }
                let seq = Seq(self.entries.len() as u64 + 1);
                self.entries.push(ExportedEntry { seq, parent: above.seq, entry: remark.at(time) });
                Place { seq: Some(seq), thought: None }
            }
        }
    }

    /// The thoughts up to and with this one, oldest first, unless another answer has them already.
    fn take_thoughts(&mut self, mut last: Option<usize>) -> Option<String> {
        let mut newest_first = Vec::new();
        while let Some((text, before)) = last.and_then(|at| self.thoughts.remove(&at)) {
            newest_first.push(text);
            last = before;
        }
        newest_first.reverse();
        (!newest_first.is_empty()).then(|| newest_first.join("\n\n"))
    }
}

impl Remark {
    fn at(self, time: Timestamp) -> EntryBody {
        let status = if self.is_whole { EntryStatus::Complete } else { EntryStatus::Interrupted };
        EntryBody { status, model: self.model, ..EntryBody::complete(self.message, time) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Planted, Remark, Said, plant};
    use crate::{
        chat::Message,
        ids::Seq,
        memory::portable::note::{Note, Notes},
        time::Timestamp,
    };

    fn said(text: &str) -> Said {
        let message = Message::assistant(text);
        Said::Message(Box::new(Remark { message, model: None, is_whole: true }))
    }

    fn node(id: &str, parent: Option<&str>) -> Node<'static> {
        let parent = parent.map(|it| it.to_owned().into());
        Node { id: id.to_owned().into(), parent, said: said(id), ..Node::default() }
    }

    fn grown(nodes: Vec<Node<'_>>, current: &str) -> (Planted, Notes) {
        let mut notes = Notes::default();
        let planted = plant(nodes, Some(current), Timestamp::from_millis(7), &mut notes);
        (planted, notes)
    }

    /// Each entry as `text<parent`, in order.
    fn shape(planted: &Planted) -> Vec<String> {
        let entries = planted.entries.iter();
        entries
            .map(|it| {
                let parent = it.parent.map_or(String::new(), |seq| seq.to_string());
                format!("{}<{parent}", it.entry.message.joined_text())
            })
            .collect()
    }

    #[test]
    fn children_before_parents_and_branches_come_out_as_a_tree() {
        let nodes = vec![
            node("c", Some("b")),
            node("b2", Some("a")),
            node("b", Some("a")),
            node("a", None),
        ];
        let (planted, notes) = grown(nodes, "c");
        assert_eq!(shape(&planted), ["a<", "b2<1", "b<1", "c<3"]);
        assert_eq!((planted.head, notes), (Some(Seq(4)), Notes::default()));
    }

    #[test]
    fn siblings_are_in_the_order_that_their_parent_names() {
        let children = serde_json::from_str(r#"["z","m","a"]"#).unwrap();
        let root = Node { children, ..node("r", None) };
        // `m` names no parent at all.
        let nodes = vec![node("a", Some("r")), node("m", None), node("z", Some("r")), root];
        assert_eq!(shape(&grown(nodes, "m").0), ["r<", "z<1", "m<1", "a<1"]);
    }

    #[test]
    fn a_conversation_that_has_grown_begins_with_what_it_was() {
        let at = |id: &str, parent: Option<&str>, millis| Node {
            time: Some(Timestamp::from_millis(millis)),
            ..node(id, parent)
        };
        let old = || vec![at("a", None, 1), at("b", Some("a"), 2), at("c", Some("b"), 3)];
        let more = [at("b2", Some("a"), 4), at("d", Some("c"), 5), at("c2", Some("b2"), 6)];
        let was = shape(&grown(old(), "c").0);
        let is = shape(&grown(old().into_iter().chain(more).collect(), "c2").0);
        assert_eq!(is, ["a<", "b<1", "c<2", "b2<1", "d<3", "c2<4"]);
        assert!(is.starts_with(&was));
    }

    #[test]
    fn what_says_nothing_vanishes_and_its_children_stay() {
        let mut nodes = vec![node("root", None), node("a", Some("root")), node("x", Some("a"))];
        nodes.extend([node("b", Some("x")), node("b2", Some("x")), node("y", Some("b"))]);
        for gone in [0, 2, 5] {
            nodes[gone].said = Said::Nothing;
        }
        let (planted, _) = grown(nodes, "y");
        assert_eq!(shape(&planted), ["a<", "b<1", "b2<1"]);
        assert_eq!(planted.head, Some(Seq(2)));
    }

    #[test]
    fn thoughts_belong_to_the_first_answer_that_follows() {
        let thought = |id: &str, parent| Node {
            said: Said::Thought(id.to_owned()),
            ..node(id, Some(parent))
        };
        let nodes = vec![
            node("q", None),
            thought("t1", "q"),
            thought("t2", "t1"),
            node("a", Some("t2")),
            node("a2", Some("t2")),
        ];
        let (planted, _) = grown(nodes, "a");
        let reasoning = planted.entries.iter().map(|it| it.entry.message.reasoning.as_deref());
        assert_eq!(reasoning.collect::<Vec<_>>(), [None, Some("t1\n\nt2"), None]);
        assert_eq!(shape(&planted), ["q<", "a<1", "a2<1"]);
    }

    #[test]
    fn cycles_missing_parents_and_equal_ids_are_mended_and_noted() {
        let nodes = vec![
            node("a", Some("b")),
            node("b", Some("a")),
            node("self", Some("self")),
            node("lost", Some("nowhere")),
            node("lost", None),
        ];
        let (planted, notes) = grown(nodes, "nobody");
        assert_eq!(shape(&planted), ["lost<", "a<", "b<2", "self<"]);
        let mut expected = Notes::default();
        expected.add_many(Note::Cycle, 2);
        for note in [Note::MissingParent, Note::DuplicateId, Note::MissingHead] {
            expected.add(note);
        }
        assert_eq!((planted.head, notes), (Some(Seq(4)), expected));
        assert_eq!(grown(Vec::new(), "x").0.head, None);
    }

    #[test]
    fn chains_and_fans_and_rings_of_any_size_are_no_problem() {
        const COUNT: usize = 40_000;
        let id = |it: usize| it.to_string();
        let chain = (0..COUNT).rev().map(|it| node(&id(it), it.checked_sub(1).map(id).as_deref()));
        let (planted, _) = grown(chain.collect(), &id(COUNT - 1));
        assert_eq!(planted.head, Some(Seq(COUNT as u64)));
        let fan = (0..COUNT).map(|it| node(&id(it), (0 < it).then_some("0")));
        assert_eq!(grown(fan.collect(), "1").0.entries.len(), COUNT);
        let ring = (0..COUNT).map(|it| node(&id(it), Some(&id((it + 1) % COUNT))));
        assert_eq!(grown(ring.collect(), "1").0.entries.len(), COUNT);
        let thoughts = (0..COUNT).flat_map(|it| {
            let above = it.checked_sub(1).map(id);
            let thought =
                Node { said: Said::Thought("t".into()), ..node(&id(it), above.as_deref()) };
            [thought, node(&format!("a{it}"), Some(&id(it)))]
        });
        assert_eq!(grown(thoughts.collect(), "1").0.entries.len(), COUNT);
    }
}
