//! The users and tokens of a run. Holds passwords and keys, so it stays in the run's own process.

use std::path::PathBuf;
use std::sync::Arc;

use crate::spec::login::LoginPlan;
use crate::spec::signing::MintPlan;
use crate::spec::steps::Steps;
use crate::spec::target_key::TargetKey;
use crate::spec::users::User;
use crate::spec::values::TokenPer;

/// The users of a run and the source of their tokens.
#[derive(Clone, Debug)]
pub struct TokenPlan<S = TokenSource> {
    /// The users: arrival `j` is user `j % users.len()`.
    pub users: Arc<[User]>,
    /// The source of the tokens.
    pub source: S,
    /// Whether each user or each connection has its own token.
    pub per: TokenPer,
    /// The target's key, where it is known, for invalid tokens that need a valid signature.
    pub key: TargetKey,
}

/// The source of the tokens.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The target's own service, asked over HTTP as a browser would.
    Login(LoginPlan),
    /// The target's own service, by the steps of a scenario.
    Steps(Arc<Steps>),
    /// This program, with the target's key.
    Mint(MintPlan),
    /// A file with one token in each line.
    File(PathBuf),
}
