//! Every setting as a flag, made from the same table as everything else about it.

use super::SETTINGS;
use clap::{Arg, ArgMatches, Command};

/// The settings given as flags; flatten it into a subcommand's arguments.
#[derive(Clone, Debug, Default)]
pub struct Flags(Vec<(&'static str, String)>);

impl Flags {
    pub(super) fn given(&self) -> &[(&'static str, String)] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn of(given: &[(&'static str, &str)]) -> Flags {
        Flags(given.iter().map(|(key, text)| (*key, (*text).to_owned())).collect())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let argument = |(key, explanation): &(&'static str, &'static str)| {
            let flag = Arg::new(*key).long(key.replace('_', "-")).value_name("VALUE").help(explanation.trim());
            flag.help_heading("Settings")
        };
        command.args(SETTINGS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let given = |(key, _): &(&'static str, &'static str)| Some((*key, matches.get_one::<String>(key)?.clone()));
        Ok(Flags(SETTINGS.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}
