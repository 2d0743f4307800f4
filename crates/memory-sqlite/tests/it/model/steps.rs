//! What a test may do to a store; only numbers, so that two stores can be told the same.

use proptest::{collection, option, prelude::*};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Log(LogStep),
    Catalog(CatalogStep),
    Turn(TurnStep),
    /// Lets so many seconds pass.
    Wait(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum LogStep {
    Append { session: usize, fence: Option<Who>, what: What },
    Read { session: usize, from: Option<u64>, limit: usize },
    MoveHead { session: usize, token: usize, head: Option<u64> },
    Forget { session: usize },
    Search { text: usize, limit: usize },
}

#[derive(Clone, Debug)]
pub(crate) enum CatalogStep {
    Create {
        session: usize,
    },
    Patch {
        session: usize,
        title: bool,
    },
    /// Restores the first entries of one session over another.
    Copy {
        from: usize,
        to: usize,
        first: usize,
    },
    Page {
        after: bool,
        limit: usize,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum TurnStep {
    Open { again: Option<usize>, session: usize, create: bool, key: usize, what: What },
    Take { who: Who },
    Renew { who: Who },
    Checkpoint { who: Who, waiting: bool, text: usize },
    Close { who: Who, by: By, state: usize, what: What },
    Cancel { who: Who },
}

/// A turn and a holder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// An open turn and its holder, if there is one.
    Right,
    /// A turn by the order of opening, and a holder.
    Named(usize, usize),
}

/// By what right a turn is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Holder,
    Lapsed,
    Exclusive,
}

/// An append: its name, on what terms and where it goes, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct What {
    /// A new name if there is none.
    pub(crate) name: Option<usize>,
    pub(crate) terms: Terms,
    pub(crate) parent: Parent,
    pub(crate) drafts: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Terms {
    /// The session as it is.
    Right,
    Attach,
    Absent,
    /// One of the tokens seen, counted from the newest.
    At(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Parent {
    Head,
    Entry(Option<u64>),
}

fn session() -> impl Strategy<Value = usize> {
    0..2_usize
}

fn seq() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.8, 1..9_u64)
}

fn what() -> impl Strategy<Value = What> {
    let terms = prop_oneof![
        6 => Just(Terms::Right),
        3 => Just(Terms::Attach),
        1 => Just(Terms::Absent),
        1 => (0..4_usize).prop_map(Terms::At),
    ];
    let parent = prop_oneof![6 => Just(Parent::Head), 2 => seq().prop_map(Parent::Entry)];
    let says = prop_oneof![
        6 => collection::vec(0..4_usize, 0..3),
        1 => Just(vec![4, 5, 6]),
        2 => collection::vec(0..7_usize, 0..4),
    ];
    (option::weighted(0.1, 0..9_usize), terms, parent, says)
        .prop_map(|(name, terms, parent, drafts)| What { name, terms, parent, drafts })
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        5 => Just(Who::Right),
        1 => (0..6_usize, 0..2_usize).prop_map(|(turn, holder)| Who::Named(turn, holder)),
    ]
}

fn log_step() -> impl Strategy<Value = LogStep> {
    let append = (session(), option::weighted(0.6, who()), what());
    prop_oneof![
        12 => append.prop_map(|(session, fence, what)| LogStep::Append { session, fence, what }),
        2 => (session(), option::of(0..9_u64), 0..5_usize)
            .prop_map(|(session, from, limit)| LogStep::Read { session, from, limit }),
        2 => (session(), 0..2_usize, seq())
            .prop_map(|(session, token, head)| LogStep::MoveHead { session, token, head }),
        1 => session().prop_map(|session| LogStep::Forget { session }),
        2 => (0..4_usize, 0..9_usize).prop_map(|(text, limit)| LogStep::Search { text, limit }),
    ]
}

fn catalog_step() -> impl Strategy<Value = CatalogStep> {
    prop_oneof![
        session().prop_map(|session| CatalogStep::Create { session }),
        (session(), any::<bool>())
            .prop_map(|(session, title)| CatalogStep::Patch { session, title }),
        (session(), session(), 0..9_usize).prop_map(|(from, to, first)| CatalogStep::Copy {
            from,
            to,
            first
        }),
        (any::<bool>(), 0..3_usize).prop_map(|(after, limit)| CatalogStep::Page { after, limit }),
    ]
}

fn turn_step() -> impl Strategy<Value = TurnStep> {
    let again = option::weighted(0.1, 0..6_usize);
    let open = (again, session(), prop::bool::weighted(0.8), 0..8_usize, what());
    let by = prop_oneof![3 => Just(By::Holder), 1 => Just(By::Lapsed), 1 => Just(By::Exclusive)];
    let state = prop_oneof![9 => 0..3_usize, 1 => Just(3)];
    prop_oneof![
        4 => open.prop_map(|(again, session, create, key, what)| {
            TurnStep::Open { again, session, create, key, what }
        }),
        2 => who().prop_map(|who| TurnStep::Take { who }),
        1 => who().prop_map(|who| TurnStep::Renew { who }),
        2 => (who(), any::<bool>(), 0..4_usize)
            .prop_map(|(who, waiting, text)| TurnStep::Checkpoint { who, waiting, text }),
        2 => (who(), by, state, what())
            .prop_map(|(who, by, state, what)| TurnStep::Close { who, by, state, what }),
        1 => who().prop_map(|who| TurnStep::Cancel { who }),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![Just(1_u64), Just(11), Just(90_000)];
    prop_oneof![
        6 => log_step().prop_map(Step::Log),
        2 => catalog_step().prop_map(Step::Catalog),
        6 => turn_step().prop_map(Step::Turn),
        1 => seconds.prop_map(Step::Wait),
    ]
}
