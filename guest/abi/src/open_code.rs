//! Open codes: a small integer whose known values have names and whose unknown values survive decoding.

/// Declares a transparent newtype with named constants, `ALL`, and `name()`.
macro_rules! open_code {
    ($(#[$meta:meta])* $type:ident: $repr:ty { $($(#[$vmeta:meta])* $variant:ident = $value:literal => $name:literal,)+ }) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, zerocopy::FromBytes, zerocopy::IntoBytes,
            zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        pub struct $type(pub $repr);

        #[allow(non_upper_case_globals, reason = "named like the variants of an enum")]
        impl $type {
            $($(#[$vmeta])* pub const $variant: Self = Self($value);)+

            /// Every known value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in run files and reports; `None` for a value nobody defined.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($name),)+
                    _ => None,
                }
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.name() == Some(name))
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($type), "({})"), self.0),
                }
            }
        }
    };
}
