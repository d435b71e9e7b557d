//! Reads a process's `/metrics`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

/// The sum of every metric over its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums(BTreeMap<String, f64>);

impl Sums {
    /// Asks the process that serves there.
    pub async fn read(admin: SocketAddr) -> Result<Self> {
        let request =
            reqwest::Client::new().get(format!("http://{admin}/metrics")).timeout(Duration::from_secs(2));
        Ok(Self::parse(&request.send().await?.error_for_status()?.text().await?))
    }

    /// Reads the text format of Prometheus.
    fn parse(text: &str) -> Self {
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or(series);
            *sums.entry(name.to_owned()).or_default() += value.parse().unwrap_or(0.0);
        }
        Self(sums)
    }

    /// The sum of a metric; 0 for one that is not there.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP lag Records\n# TYPE lag gauge\nlag{group=\"a b\",partition=\"0\"} 2\nlag{group=\"a b\",partition=\"1\"} 3\nup 1\n";
        let sums = Sums::parse(text);
        assert_eq!((sums.get("lag"), sums.get("up"), sums.get("absent")), (5.0, 1.0, 0.0));
    }
}
