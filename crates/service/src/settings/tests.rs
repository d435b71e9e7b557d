use std::path::PathBuf;

use super::{Layers, Problems, Settings};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Layers, Problems> {
    let (_folder, path) = file(text);
    Layers::of(Some(&path), environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// Key and message of every problem.
fn problems<T: std::fmt::Debug>(result: Result<T, Problems>) -> Vec<(String, String)> {
    result.unwrap_err().0.into_iter().map(|problem| (problem.key, problem.message)).collect()
}

#[test]
fn every_default_is_valid_and_shown() {
    insta::assert_snapshot!(Layers::of(None, []).unwrap().print().unwrap());
    Settings::defaults().unwrap();
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let layers = read(
        "prefix = 'from-file'\n[log]\nlevel = 'debug'",
        &[("AQUEDUCT__LOG__LEVEL", "warn"), ("AQUEDUCT__SHUTDOWN__DEADLINE", "20s")],
    )
    .unwrap();
    let settings = layers.settings().unwrap();
    assert_eq!(settings.prefix, "from-file");
    assert_eq!(settings.log.level, "warn");
    assert_eq!(settings.shutdown.deadline.as_secs(), 20);
    assert!(layers.origin("prefix").ends_with("settings.toml"));
    assert_eq!(layers.origin("log.level"), "AQUEDUCT__LOG__LEVEL");
    assert_eq!(layers.origin("log.format"), "default");
}

#[test]
fn sessions_are_set_by_the_name_that_applications_know() {
    let minutes =
        |environment: &[(&str, &str)]| read("", environment).unwrap().settings().unwrap().api.session();
    assert_eq!(minutes(&[]), None);
    assert_eq!(minutes(&[("RYW_SESSION_TTL_MINUTES", "0")]), None);
    assert_eq!(minutes(&[("RYW_SESSION_TTL_MINUTES", "-5")]), None);
    assert_eq!(minutes(&[("RYW_SESSION_TTL_MINUTES", "2")]).unwrap().as_secs(), 120);
    let wrong = problems(read("", &[("RYW_SESSION_TTL_MINUTES", "soon")]));
    assert_eq!(wrong[0].0, "api.ryw_session_ttl_minutes");
}

#[test]
fn variables_of_others_are_passed_over() {
    assert!(read("", &[("AQUEDUCT_CONFIG", "x"), ("AQUEDUCT_API_SERVICE_HOST", "x"), ("PATH", "x")]).is_ok());
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let found = problems(read(
        "[log]\nlevle = 'info'\n[shutdwon]\ndeadline = '1s'",
        &[("AQUEDUCT__ADMIN__LISTNE", "x")],
    ));
    let expected = [
        ("admin.listne", "is not a setting; did you mean admin.listen?"),
        ("log.levle", "is not a setting; did you mean log.level?"),
        ("shutdwon", "is not a setting; did you mean shutdown?"),
    ];
    assert_eq!(found, expected.map(|(key, message)| (key.to_owned(), message.to_owned())));
}

#[test]
fn a_value_in_the_place_of_a_section_is_told_what_the_section_has() {
    let found = problems(read("log = 'debug'", &[("AQUEDUCT__ENGINE__LANES", "8")]));
    let expected = [
        ("engine.lanes", "is a section, not a value: it has projector, sync_rds, sync_search"),
        ("log", "is a section, not a value: it has format, level"),
    ];
    assert_eq!(found, expected.map(|(key, message)| (key.to_owned(), message.to_owned())));
}

#[test]
fn every_wrong_value_is_reported_at_once_and_blamed_on_where_it_stands() {
    let result = read(
        "[shutdown]\ndeadline = 25\n[log]\nformat = 'xml'\n[admin]\nlisten = 'localhost'",
        &[("AQUEDUCT__API__BODY_LIMIT", "1 parsec")],
    );
    let Problems(found) = result.unwrap_err();
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["admin.listen", "api.body_limit", "log.format", "shutdown.deadline"]);
    assert_eq!(found[1].origin, "AQUEDUCT__API__BODY_LIMIT");
    assert!(found[0].origin.ends_with("settings.toml"));
}

#[test]
fn everything_that_types_cannot_say_is_reported_at_once() {
    let layers =
        read("prefix = 'No Prefix'\n[log]\nlevel = 'a=b=c'", &[("AQUEDUCT__API__BODY_LIMIT", "0B")]).unwrap();
    let keys: Vec<String> = problems(layers.settings()).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["api.body_limit", "log.level", "prefix"]);
}

#[test]
fn only_loopback_is_served_while_there_is_no_authentication() {
    let with = |listen| read("", &[("AQUEDUCT__API__LISTEN", listen)]).unwrap().settings();
    for local in ["127.0.0.1:8080", "127.0.0.53:0", "[::1]:8080"] {
        assert!(with(local).is_ok(), "{local}");
    }
    for public in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080", "192.168.1.2:1", "[::ffff:127.0.0.1]:8080"] {
        let [(key, message)] = &problems(with(public))[..] else { panic!("{public}: one problem") };
        assert_eq!(key, "api.listen", "{public}");
        assert!(message.contains("no authentication") && message.contains("127.0.0.1"), "{message}");
    }
}

#[test]
fn durations_and_sizes_carry_units() {
    assert_eq!(problems(read("[shutdown]\ndeadline = '25'", &[])).len(), 1);
    let settings = read("[api]\nbody_limit = '256KiB'", &[]).unwrap().settings().unwrap();
    assert_eq!(settings.api.body_limit.as_u64(), 256 * 1024);
}

#[test]
fn tombstones_stay_unless_a_time_of_at_least_a_day_is_given() {
    let with = |after| {
        read("", &[("AQUEDUCT__VIEWS__PURGE_TOMBSTONES_AFTER", after)]).and_then(|layers| layers.settings())
    };
    assert_eq!(Settings::defaults().unwrap().views.purge_tombstones_after, None);
    assert_eq!(with("never").unwrap().views.purge_tombstones_after, None);
    let days = |days: u64| Some(std::time::Duration::from_secs(days * 24 * 3600));
    for (after, expected) in [("1d", days(1)), ("30 days", days(30)), ("24h", days(1))] {
        assert_eq!(with(after).unwrap().views.purge_tombstones_after, expected, "{after}");
    }
    for (after, expected) in [
        ("23h 59m", "at least 1 day"),
        ("0s", "at least 1 day"),
        ("30", "`never` or a duration"),
        ("", "`never` or"),
    ] {
        let [(key, message)] = &problems(with(after))[..] else { panic!("{after}: one problem") };
        assert_eq!(
            (key.as_str(), message.contains(expected)),
            ("views.purge_tombstones_after", true),
            "{message}"
        );
    }
    let printed = read("[views]\npurge_tombstones_after = '30d'", &[]).unwrap();
    assert!(printed.print().unwrap().contains("purge_tombstones_after = \"30d\""));
}

#[test]
fn sections_and_values_are_not_mistaken_for_each_other() {
    let found = problems(read("log = 'info'\n[prefix]\na = 1", &[("AQUEDUCT__ADMIN", "x")]));
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["admin", "log", "prefix"]);
}

#[test]
fn a_syntax_error_does_not_show_the_line_it_is_in() {
    let found = problems(read("[log]\nlevel = 'secret", &[]));
    assert!(found[0].1.contains("line 2"), "{found:?}");
    assert!(!found[0].1.contains("secret"), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let found = problems(Layers::of(Some("/no/such/file.toml".as_ref()), []));
    assert!(found[0].1.starts_with("cannot be read"), "{found:?}");
}

#[test]
fn what_is_printed_can_be_given_back() {
    let layers = read("prefix = 'a'\n[model]\ndir = 'C:\\\\\"models\"'", &[]).unwrap();
    let again = read(&layers.print().unwrap(), &[]).unwrap();
    let without_origins = |text: String| {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without_origins(again.print().unwrap()), without_origins(layers.print().unwrap()));
}

#[test]
fn properties_of_librdkafka_pass_through_from_the_file_and_the_environment() {
    let layers = read(
        "[kafka.properties]\n'client.id' = 'fleet'\nsocket.keepalive.enable = true\n'sasl.password' = 'from-file'",
        &[("AQUEDUCT__KAFKA__PROPERTIES__SASL_PASSWORD", "0123")],
    )
    .unwrap();
    let properties = layers.settings().unwrap().kafka.properties;
    let expected = [("client.id", "fleet"), ("sasl.password", "0123"), ("socket.keepalive.enable", "true")];
    assert_eq!(properties, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn no_secret_is_printed() {
    let layers = read(
        "[kafka.properties]\n'sasl.password' = 's3cret'\n'sasl.username' = 'fleet'",
        &[
            ("AQUEDUCT__POSTGRES__URL", "postgres://fleet:s3cret@db/reads"),
            ("AQUEDUCT__OPENSEARCH__URL", "https://fleet:s3cret@search"),
        ],
    )
    .unwrap();
    let printed = layers.print().unwrap();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert_eq!(printed.matches("***").count(), 3, "{printed}");
}

#[test]
fn a_problem_with_a_secret_does_not_show_it() {
    let layers = read("", &[("AQUEDUCT__POSTGRES__URL", "mysql://fleet:s3cret@db/reads")]).unwrap();
    assert_eq!(
        problems(layers.settings()),
        [("postgres.url".to_owned(), "must begin with postgres://".to_owned())]
    );
}

#[test]
fn an_address_that_leads_nowhere_is_named_with_its_setting_and_without_its_password() {
    for (key, address, why) in [
        ("postgres.url", "postgres://fleet:s3cret@db:port/reads", "invalid port number"),
        ("postgres.url", "postgres://fleet:s3cret@db:65536/reads", "invalid port number"),
        ("postgres.url", "postgres://fleet:s3cret@[::1/reads", "invalid IPv6 address"),
        ("postgres.url", "postgres://fleet:s3cret%ff@db/reads", "invalid utf-8"),
        ("postgres.url", "postgres://fleet:s3cret@db/reads?sslmode=ful", "ful"),
        ("postgres.url", "postgres://fl@eet/s3cret@db/reads", "%2F"),
        ("postgres.url", "s3cret", "postgres://"),
        ("postgres.url", "", "postgres://"),
        ("opensearch.url", "search:9200/s3cret", "https://"),
        ("opensearch.url", "https://", "empty host"),
        ("opensearch.url", "https://fleet:s3cret@search:99999", "invalid port number"),
        ("opensearch.url", "https://fleet:s3cret%ff@search", "UTF-8"),
        ("opensearch.url", "https://fl@eet/s3cret@search", "%2F"),
        ("opensearch.url", "https://search?token=s3cret", "must end"),
        ("kafka.brokers", "broker", "host:port"),
        ("kafka.brokers", "", "host:port"),
        ("kafka.brokers", "a:9092,,b:9092", "host:port"),
        ("kafka.brokers", "a:9092,b:0", "host:port"),
        ("kafka.brokers", "a:9092;b:9092", "host:port"),
        ("kafka.brokers", "::1:9092", "host:port"),
        ("kafka.brokers", "SASL_SSL://fleet:s3cret@a:9092", "host:port"),
        ("dynamodb.endpoint", "127.0.0.1:8000", "http://"),
        ("dynamodb.endpoint", "http://", "http://"),
        ("dynamodb.endpoint", "http://127.0.0.1:port", "http://"),
        ("dynamodb.endpoint", "http://fleet:s3cret@dynamodb:8000", "http://"),
    ] {
        let variable = format!("AQUEDUCT__{}", key.to_uppercase().replace('.', "__"));
        let layers = read("", &[(&variable, address)]).unwrap();
        let [(found, message)] = &problems(layers.settings())[..] else { panic!("{address}: one problem") };
        assert_eq!(found, key, "{address}");
        assert!(message.contains(why), "{address}: {message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[test]
fn addresses_as_people_write_them_are_taken() {
    for (key, address) in [
        ("postgres.url", "postgresql://fleet:s%2F%40cret@db.internal/reads?sslmode=verify-full"),
        ("postgres.url", "postgres://%2Fvar%2Frun%2Fpostgresql/reads"),
        ("postgres.url", "postgres://db/reads?password=a@b"),
        ("opensearch.url", "https://fleet:s%2F%40cret@search.internal/behind/a/proxy"),
        ("opensearch.url", "http://[::1]:9200"),
        ("kafka.brokers", "a.internal:9092, b_1.internal:9093,[::1]:9092"),
        ("dynamodb.endpoint", "https://dynamodb.eu-central-1.amazonaws.com"),
        ("dynamodb.endpoint", "http://[::1]:8000/"),
    ] {
        let variable = format!("AQUEDUCT__{}", key.to_uppercase().replace('.', "__"));
        let settings = read("", &[(&variable, address)]).unwrap().settings();
        assert!(settings.is_ok(), "{address}: {settings:?}");
    }
}

#[test]
fn a_property_that_librdkafka_does_not_take_is_named_without_its_value() {
    let layers = read("", &[("AQUEDUCT__KAFKA__PROPERTIES__SASL_PASSWROD", "s3cret")]).unwrap();
    let found = problems(layers.settings());
    assert_eq!(found[0].0, "kafka.properties.sasl.passwrod");
    assert!(!found[0].1.contains("s3cret"), "{found:?}");
}

#[test]
fn tokens_of_oauth_are_refused_because_nothing_fetches_them() {
    let layers = read("[kafka.properties]\n'sasl.mechanism' = 'OAUTHBEARER'", &[]).unwrap();
    let found = problems(layers.settings());
    assert_eq!(found[0].0, "kafka.properties.sasl.mechanism");
    assert!(found[0].1.contains("SCRAM-SHA-512"), "{found:?}");
}

#[test]
fn requests_to_opensearch_are_signed_or_have_a_password() {
    let signed = "[opensearch]\nauth = 'sigv4'\nurl = 'https://fleet:s3cret@search'";
    let found = problems(read(signed, &[]).unwrap().settings());
    let expected = ("opensearch.url", "must have no user when `opensearch.auth` is sigv4");
    assert_eq!(found, [(expected.0.to_owned(), expected.1.to_owned())]);
}

#[test]
fn files_of_certificates_must_be_there() {
    let (_folder, path) = file(
        "[postgres]\nurl = 'postgres://db/reads?sslmode=verify-full&sslrootcert=/no/such.pem'\n\
         [opensearch]\nca_file = '/no/such.pem'\n[model]\ndir = '/'",
    );
    let found = problems(Layers::of(Some(&path), []).unwrap().settings_here());
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["opensearch.ca_file", "postgres.url"]);
    assert!(found.iter().all(|(_, message)| message.contains("/no/such.pem")), "{found:?}");
}
