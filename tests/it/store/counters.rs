//! Running numbers: none twice.

use futures::future::join_all;

use super::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn numbers_drawn_at_once_are_all_different() {
    let fleet = Fleet::new(1).await;
    let sequences = fleet.sequences();
    let (tenant, type_name) = ("acme".parse().unwrap(), "ORDER".parse().unwrap());
    let draws = (0..100).map(|_| sequences.next(&tenant, &type_name, "2026"));
    let mut drawn: Vec<u64> = join_all(draws).await.into_iter().map(|no| no.unwrap()).collect();
    drawn.sort_unstable();
    assert_eq!(drawn, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn counters_of_tenants_types_and_rotations_are_apart() {
    let fleet = Fleet::new(2).await;
    let sequences = fleet.sequences();
    for (tenant, type_name, counter) in [
        ("acme", "ORDER", "2026"),
        ("acme", "ORDER", "2027"),
        ("acme", "INVOICE", "2026"),
        ("other", "ORDER", "2026"),
    ] {
        let (tenant, type_name) = (tenant.parse().unwrap(), type_name.parse().unwrap());
        assert_eq!(sequences.next(&tenant, &type_name, counter).await.unwrap(), 1);
        assert_eq!(sequences.next(&tenant, &type_name, counter).await.unwrap(), 2);
    }
}
