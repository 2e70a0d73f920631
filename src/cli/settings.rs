//! `handback settings`

use super::args::SettingsArgs;
use super::paint::say;
use crate::config::Settings;
use crate::exit::Exit;

pub(super) fn settings(settings: &Settings, args: &SettingsArgs) -> Exit {
    let text = if args.markdown {
        Settings::markdown()
    } else if args.effective {
        settings.to_toml()
    } else {
        Settings::reference()
    };
    say!("{}", text.trim_end());
    Exit::Ok
}
