//! Every text of the pages, in both languages side by side: a text that is missing in one does not compile.

mod figures;
mod finance;
mod member;
mod operations;
mod partner;
mod staff;
mod till;
mod trouble;

/// Declares texts as methods of `Lang`: `name: "English", "中文";`, or with parts, `name(part): "… {part} …", "… {part} …";`.
macro_rules! words {
    ($($name:ident $(($($part:ident),+))?: $en:literal, $zh:literal;)*) => {
        impl $crate::web::lang::Lang {
            $($crate::web::words::words!(@one $name $(($($part),+))?: $en, $zh);)*
        }
    };
    (@one $name:ident: $en:literal, $zh:literal) => {
        pub fn $name(self) -> &'static str {
            match self {
                $crate::web::lang::Lang::En => $en,
                $crate::web::lang::Lang::Zh => $zh,
            }
        }
    };
    (@one $name:ident ($($part:ident),+): $en:literal, $zh:literal) => {
        pub fn $name(self, $($part: impl std::fmt::Display),+) -> String {
            match self {
                $crate::web::lang::Lang::En => format!($en),
                $crate::web::lang::Lang::Zh => format!($zh),
            }
        }
    };
}

use words;
