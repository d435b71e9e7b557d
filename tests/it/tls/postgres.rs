//! Postgres with TLS and a user who is let in with a password and encrypted, or not at all.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use aqueduct_tests::{Private, Server};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::certificates::{Certificate, HOST};
use super::{PASSWORD, USER};

pub(super) struct Postgres {
    /// As superuser, in the clear.
    plain: String,
    data: PathBuf,
}

impl Postgres {
    pub(super) async fn secure(servers: &Private, certificate: &Certificate) -> Postgres {
        let data = servers.folder(Server::Postgres).join("data");
        let postgres = Postgres { plain: servers.servers.postgres.clone(), data };
        let access = postgres.data.join("pg_hba.conf");
        let others = fs::read_to_string(&access).unwrap();
        let lines = format!("hostssl all {USER} all scram-sha-256\nhost all {USER} all reject\n{others}");
        fs::write(access, lines).unwrap();
        postgres.run(&format!("CREATE ROLE {USER} LOGIN SUPERUSER")).await;
        postgres.set_password(PASSWORD).await;
        postgres.present(certificate).await;
        postgres
    }

    /// From now on this is the certificate.
    pub(super) async fn present(&self, certificate: &Certificate) {
        self.write("server.crt", &certificate.chain);
        self.write("server.key", &certificate.key);
        self.run("ALTER SYSTEM SET ssl = on").await;
        self.run("SELECT pg_reload_conf()").await;
    }

    /// From now on this is the user's password, and who is in is thrown out.
    pub(super) async fn set_password(&self, password: &str) {
        self.run(&format!("ALTER ROLE {USER} PASSWORD '{password}'")).await;
        self.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"))
            .await;
    }

    /// Connections of the user that are not encrypted, and those that are.
    pub(super) async fn connections(&self) -> (i64, i64) {
        let counted = "SELECT count(*) FILTER (WHERE NOT ssl), count(*) FILTER (WHERE ssl)
                       FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1";
        sqlx::query_as(counted).bind(USER).fetch_one(&mut self.connect().await).await.unwrap()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.plain).await.unwrap()
    }

    async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.connect().await).await.unwrap();
    }

    /// A file in its folder that is the server's own, as it demands of its key.
    fn write(&self, name: &str, text: &str) {
        let file = self.data.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let server = fs::metadata(self.data.join("PG_VERSION")).unwrap();
        chown(&file, Some(server.uid()), Some(server.gid())).unwrap();
    }
}

/// The URL for the user, who expects the server's certificate to be of this authority.
pub(super) fn url(database: &str, password: &str, ca: &Path) -> String {
    let (_, place) = database.rsplit_once(':').unwrap();
    format!("postgres://{USER}:{password}@{HOST}:{place}?sslmode=verify-full&sslrootcert={}", ca.display())
}
