//! How a section of the settings is written down: field, default and explanation in one place.

/// Declares a section. The explanations serve rustdoc, `handback settings` and `docs/configuration.md`; the defaults serve
/// the program and the same two lists; the names are the only ones that loading accepts.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $section:ident {
            $( $(#[doc = $doc:literal])+ $(#[serde($($how:tt)+)])? pub $field:ident: $type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $( $(#[doc = $doc])+ $(#[serde($($how)+)])? pub $field: $type, )+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $section {
            /// What the section is about.
            pub(super) const ABOUT: &'static str = concat!($($about),+);
            /// Name and explanation of each field, in the order of declaration.
            pub(super) const FIELDS: &'static [(&'static str, &'static str)] =
                &[$( (stringify!($field), concat!($($doc),+)), )+];
        }
    };
}

pub(super) use section;
