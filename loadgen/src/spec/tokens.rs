//! Whose tokens a run shows, and who makes them. Holds passwords and keys, so it stays in the run's own process.

use std::path::PathBuf;
use std::sync::Arc;

use crate::spec::login::LoginPlan;
use crate::spec::signing::MintPlan;
use crate::spec::steps::Steps;
use crate::spec::target_key::TargetKey;
use crate::spec::users::User;
use crate::spec::values::TokenPer;

/// Whose tokens are shown, and who makes them.
#[derive(Clone, Debug)]
pub struct TokenPlan<S = TokenSource> {
    /// Who arrives: arrival `j` is user `j % users.len()`.
    pub users: Arc<[User]>,
    /// Who makes the tokens.
    pub source: S,
    /// How often one is made.
    pub per: TokenPer,
    /// What the target's tokens are signed with, where that is known: for the invalid ones that need it.
    pub key: TargetKey,
}

/// Who makes the tokens.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The target's own service, asked over HTTP as a browser would.
    Login(LoginPlan),
    /// The same by the steps of a scenario.
    Steps(Arc<Steps>),
    /// This program, with the target's key.
    Mint(MintPlan),
    /// Someone else: a file with a token in each line.
    File(PathBuf),
}
