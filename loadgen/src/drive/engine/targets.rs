//! What a shard keeps for each target of a load.

use std::sync::Arc;

use reactor::{ClientTls, Connect};

use crate::ground::recorder::Recorder;
use crate::speak::connection::Profile;
use crate::speak::target::Target;
use crate::spec::LoadSpec;

/// One target. Sockets and arrivals name it by its index.
#[derive(Debug)]
pub struct TargetState {
    /// Its addresses.
    pub target: Arc<Target>,
    /// Its TLS, with this shard's sessions.
    pub tls: Option<ClientTls>,
    /// What its handshakes have in common.
    pub profile: Profile,
    /// What was measured of its arrivals since the last report.
    pub recorder: Recorder,
}

impl TargetState {
    /// All targets of a load, in its order.
    pub fn all(spec: &LoadSpec, targets: Vec<Arc<Target>>) -> Vec<Self> {
        let all = targets.into_iter().enumerate();
        all.map(|(index, target)| Self {
            tls: target.tls_of_shard(spec.tls.resumption),
            profile: Profile::of(spec, index, &target.host),
            target,
            recorder: Recorder::new(),
        })
        .collect()
    }

    /// The addresses of arrival `number`, and TLS; `None`: the target has no address.
    pub fn route(&self, number: u64) -> Option<Connect> {
        let (to, from) = self.target.route(number)?;
        Some(Connect { to, from, tls: self.tls.clone() })
    }

    /// Whether TLS comes before the first request.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}
