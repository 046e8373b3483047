//! What a node says of itself, and nodes that the configuration leaves out: users are not replicated.

use handover_core::{Fault, FaultKind};

use super::account::text;
use super::connect::Session;

/// What a node says of itself.
pub(super) struct Node {
    /// The endpoint's name.
    pub(super) endpoint: String,
    /// Its version.
    pub(super) version: String,
    /// Whether it was started with a file of configuration.
    pub(super) has_configuration: bool,
    /// Whether it follows another node.
    follows: bool,
    /// The addresses of those that follow it.
    followers: Vec<String>,
    /// Whether it is of a cluster.
    in_cluster: bool,
}

impl Node {
    /// Asks it.
    pub(super) async fn of(session: &mut Session) -> Result<Self, Fault> {
        let endpoint = session.endpoint().to_owned();
        let answer = session.look(&["INFO"], "asking for its version and its replicas").await;
        let answer = answer.map_err(|fault| {
            if fault.kind != FaultKind::NotPermitted {
                return fault;
            }
            let detail = format!("our user may not ask endpoint {endpoint} for its version; give it +info there");
            Fault { detail, ..fault }
        })?;
        Ok(Self::read(endpoint, &text(&answer).unwrap_or_default()))
    }

    fn read(endpoint: String, info: &str) -> Self {
        let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let follower = |line: &str| {
            let (name, words) = line.split_once(':')?;
            name.strip_prefix("slave")?.parse::<u32>().ok()?;
            let word = |name: &str| words.split(',').find_map(|word| word.strip_prefix(name));
            Some(format!("{}:{}", word("ip=")?, word("port=")?))
        };
        Self {
            endpoint,
            version: line("redis_version").unwrap_or_default().to_owned(),
            has_configuration: line("config_file").is_some_and(|file| !file.is_empty()),
            follows: line("role") == Some("slave"),
            followers: info.lines().filter_map(follower).collect(),
            in_cluster: line("cluster_enabled") == Some("1"),
        }
    }

    /// The first number of its version.
    pub(super) fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }
}

/// Nodes that are not among the endpoints, as far as those that are know of them.
pub(super) fn left_out(nodes: &[Node]) -> Option<Fault> {
    let followers: Vec<&str> = nodes.iter().flat_map(|node| node.followers.iter().map(String::as_str)).collect();
    let listed = nodes.iter().filter(|node| node.follows).count();
    (followers.len() > listed).then(|| {
        let detail = format!(
            "{} replicas follow the endpoints ({}), and {listed} of the endpoints are replicas: users are not replicated, so \
             name every node in `endpoints`",
            followers.len(),
            followers.join(", ")
        );
        Fault::untouched(FaultKind::Misconfigured, detail)
    })
}

/// The same where the nodes are a cluster.
pub(super) async fn left_out_of_cluster(
    node: &Node,
    session: &mut Session,
    listed: usize,
) -> Result<Option<Fault>, Fault> {
    if !node.in_cluster {
        return Ok(None);
    }
    let answer = session.look(&["CLUSTER", "INFO"], "asking how many nodes the cluster has").await?;
    let info = text(&answer).unwrap_or_default();
    let known = info.lines().find_map(|line| line.strip_prefix("cluster_known_nodes:")?.trim().parse::<usize>().ok());
    Ok(known.filter(|known| *known > listed).map(|known| {
        let detail = format!(
            "the cluster of endpoint {} has {known} nodes, and `endpoints` names {listed}: users are not replicated, so name \
             every node",
            node.endpoint
        );
        Fault::untouched(FaultKind::Misconfigured, detail)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "# Server\r\nredis_version:7.0.15\r\nconfig_file:/etc/redis/redis.conf\r\n# Replication\r\n\
        role:master\r\nconnected_slaves:1\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=1\r\n\
        slave_read_only:1\r\n# Cluster\r\ncluster_enabled:0\r\n";

    #[test]
    fn replicas_that_are_not_listed_are_found() {
        let node = |info: &str| Node::read("first".to_owned(), info);
        let master = node(MASTER);
        assert_eq!((master.major(), master.has_configuration, master.in_cluster), (7, true, false));
        assert_eq!(master.followers, ["10.0.0.2:6379"]);
        let found = left_out(&[node(MASTER)]).unwrap();
        assert!(found.detail.contains("10.0.0.2:6379"), "{found}");
        let replica = node("redis_version:7.0.15\r\nrole:slave\r\n");
        assert_eq!(left_out(&[master, replica]), None);
        assert_eq!(node("").major(), 0, "who does not say is not new enough");
    }
}
