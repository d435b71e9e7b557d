//! What a newcomer sees when the stack is up: where everything listens, a request of each kind with its answer, and what
//! to try next.

use anyhow::Result;

use crate::local::folder::Folder;
use crate::local::servers::Server;
use crate::local::shop::{self, Sent};
use crate::local::stack::Stack;

/// Prints it; sends the example requests if the fleet runs the shop.
pub(super) async fn print(stack: &Stack, folder: &Folder, with_examples: bool) -> Result<()> {
    eprintln!();
    for server in &stack.servers {
        eprintln!("  {:<12} {}", server.endpoint.server.name(), server.endpoint.address);
    }
    for member in &stack.fleet {
        let address = member
            .api
            .map_or_else(|| format!("http://{}/metrics", member.admin), |api| format!("http://{api}"));
        eprintln!("  {:<12} {address}", member.name);
    }
    eprintln!("  {:<12} {}", "settings", stack.settings.display());
    let Some(api) = stack.api() else {
        eprintln!("\nThe servers are up. Ctrl-C stops them.");
        return Ok(());
    };
    if with_examples {
        let sent = shop::send_examples(&api).await?;
        eprintln!("\nOne of each:");
        for Sent { request, status, item } in &sent {
            eprintln!("  {request:<34} {status:<12} version {}", item["version"]);
        }
        suggest(stack, &api, sent[0].item["id"].as_str().unwrap_or_default());
    } else {
        eprintln!("\nThe API with all its types: {api}/docs");
    }
    let dir = folder.path.display();
    eprintln!("\nThe stack is up. `aqueduct local status --dir {dir}` looks at it, Ctrl-C stops it.");
    Ok(())
}

fn suggest(stack: &Stack, api: &str, order: &str) {
    eprintln!("\nTry next:");
    eprintln!("  curl {api}/v1/acme/ORDER/{order}");
    eprintln!("  curl {api}/v1/acme/ORDER/{order}/history");
    if let Some(postgres) = stack.address(Server::Postgres) {
        eprintln!("  psql {postgres} -c 'SELECT id, status, item_version FROM orders'");
    }
    if let Some(opensearch) = stack.address(Server::OpenSearch) {
        eprintln!("  curl {opensearch}/orders/_search?pretty");
    }
    eprintln!("  open {api}/docs");
}
