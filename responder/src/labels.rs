//! What is counted by kind: an enumeration whose variants carry the labels of their counters.

/// Defines one: its documentation and name, then `Variant = "label",` for each kind.
macro_rules! labelled {
    (
        $(#[$outer:meta])*
        $of:ident { $($(#[$doc:meta])* $name:ident = $label:literal,)* }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $of { $($(#[$doc])* $name,)* }

        impl $of {
            /// Every kind, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The label of its counter.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

pub(crate) use labelled;
