//! A login that flags describe.

use url::Url;

/// How users log in and ask for their tokens.
#[derive(Clone, Debug)]
pub struct LoginPlan {
    /// Where users log in; `None`: the credentials go with each token request.
    pub login_url: Option<Url>,
    /// How credentials travel.
    pub method: LoginMethod,
    /// Where a session gets its token.
    pub token_url: Url,
    /// Where the token stands in the JSON of the answer (RFC 6901); empty: the whole answer is the token, a JSON string.
    pub token_json_pointer: String,
}

/// How credentials travel at login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoginMethod {
    /// GET with `Authorization: Basic` (RFC 7617).
    Basic,
    /// POST of a form with the fields `username` and `password`.
    Form,
    /// POST of a JSON object with those fields.
    Json,
}
