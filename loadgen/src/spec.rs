//! What a run is asked to do, parsed once into types that cannot be wrong.
//!
//! Three steps: flags laid over a scenario file ([`RunArgs`], read by [`read_file`]), then meaning
//! ([`RunSpec::resolve`]), then nothing: no later step validates again. What the load needs of a started embedded server
//! (its URL, its users, where they log in) is returned by its start.

mod args;
mod claims;
mod error;
mod file;
mod header;
mod load;
mod login;
mod metrics;
mod protocol;
mod refused_by;
mod resolve;
mod run;
mod schema;
mod secret;
mod signing;
mod source_ips;
mod steps;
mod target_key;
mod targets;
mod template;
mod text;
mod tls;
mod to_result;
mod tokens;
mod urls;
mod users;
mod values;

pub use args::RunArgs;
pub use claims::Claims;
pub use error::SpecError;
pub use file::read_file;
pub use header::HeaderText;
pub use load::LoadSpec;
pub use login::{LoginMethod, LoginPlan};
pub use metrics::{MetricNames, MetricsPlan};
pub use protocol::{EngineIo, Protocol, ProtocolName, TokenIn, Transport};
pub use refused_by::RefusedBy;
pub use resolve::Machine;
pub use run::{EMBEDDED_ORIGIN, EmbeddedPlan, Observed, ReportSpec, RunSpec, ServerSpec};
pub use schema::scenario_schema;
pub use secret::{Secret, SecretSource};
pub use signing::MintPlan;
pub use source_ips::{SOURCE_IPS_MAX, SourceIps};
pub use steps::{
    BasicTable, BodyPlan, ExtractTable, Extraction, JsonPlan, JsonValue, Source, Step, StepTable, Steps, Success,
    TOKEN, TOKEN_ANSWER_BYTES_MAX, read_steps,
};
pub(crate) use target_key::pem;
pub use target_key::{NO_PUBLIC_KEY, NO_SIGNING_KEY, TargetKey};
pub use targets::{TARGETS_MAX, TargetSpec, TargetTable, Targets};
pub use template::{Template, TemplateError, Variables};
pub use text::{from_text, many_from_text, required_from_text};
pub use tls::{TlsPlan, TlsResumption};
pub use tokens::{TokenPlan, TokenSource};
pub use users::{USERNAME, User, UserText};
pub use values::{
    AnsweredBy, ArrivalsText, Close, Echo, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, Pin, Refresh, TokenPer,
    TokenSourceName,
};
