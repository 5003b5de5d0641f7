//! Enums whose variants each have one name.

/// An enum without fields. Each variant has a name for programs and, if given, a description for people.
macro_rules! closed_set {
    ($(#[$about:meta])* $set:ident { $($(#[$meaning:meta])* $member:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $set {
            $($(#[$meaning])* $member,)+
        }

        impl $set {
            /// Every member, in the order of declaration: a member `as usize` is its index.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$member),+];

            /// The name for programs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $name,)+
                }
            }
        }

        impl std::fmt::Display for $set {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.as_str())
            }
        }
    };
    ($(#[$about:meta])* $set:ident { $($(#[$meaning:meta])* $member:ident = $name:literal: $description:literal,)+ }) => {
        closed_set! { $(#[$about])* $set { $($(#[$meaning])* $member = $name,)+ } }

        impl $set {
            /// The description for people: a clause without quotation marks, fit for a quoted string of an HTTP header.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$member => $description,)+
                }
            }
        }
    };
}

pub(crate) use closed_set;
