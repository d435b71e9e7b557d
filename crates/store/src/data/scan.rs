//! Reading which items there are: in segments that are read side by side, or a few after a place.

use aqueduct_contract::{ItemKey, TypeName, Version};
use futures::stream::{self, Stream, TryStreamExt};

use super::DataTable;
use crate::row::{Attributes, Row, text};
use crate::{Error, Result};

impl DataTable {
    /// The items of a type in one of `segments` parts of the table, deleted or not, each with the version that stands: in no
    /// order, a page at a time.
    pub fn versions<'a>(
        &'a self,
        type_name: &TypeName,
        segment: i32,
        segments: i32,
    ) -> impl Stream<Item = Result<Vec<(ItemKey, Version)>>> + 'a {
        let prefix = format!("{type_name}#");
        stream::try_unfold(Some(None::<Attributes>), move |position| {
            let prefix = prefix.clone();
            async move {
                let Some(start) = position else { return Ok(None) };
                let scan = self
                    .client
                    .scan()
                    .table_name(&self.table)
                    .consistent_read(true)
                    .segment(segment)
                    .total_segments(segments)
                    .filter_expression("begins_with(sk, :type)")
                    .expression_attribute_values(":type", text(prefix))
                    .projection_expression("pk, sk, item_version")
                    .set_exclusive_start_key(start);
                let page = scan.send().await.map_err(Error::of)?;
                let next = page.last_evaluated_key.map(Some);
                let found = page.items.unwrap_or_default().into_iter().map(|row| self.version(row));
                Ok::<_, Error>(Some((found.collect::<Result<Vec<_>>>()?, next)))
            }
        })
        .into_stream()
    }

    /// At most `limit` keys in the order of the table: those after `place`, and from its beginning when there are no more.
    pub async fn keys_after(&self, place: Option<&ItemKey>, limit: usize) -> Result<Vec<ItemKey>> {
        let key = |place: &ItemKey| {
            Attributes::from([("pk".to_owned(), text(place.pk())), ("sk".to_owned(), text(place.sk()))])
        };
        let mut found = Vec::new();
        for start in [place.map(key), None] {
            let scan = self.client.scan().table_name(&self.table).projection_expression("pk, sk");
            let scan = scan.limit(i32::try_from(limit - found.len()).unwrap_or(i32::MAX));
            let page = scan.set_exclusive_start_key(start).send().await.map_err(Error::of)?;
            for row in page.items.unwrap_or_default() {
                found.push(Self::key(&Row { table: &self.table, attributes: row })?);
            }
            if page.last_evaluated_key.is_some() || found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    fn version(&self, row: Attributes) -> Result<(ItemKey, Version)> {
        let row = Row { table: &self.table, attributes: row };
        Ok((Self::key(&row)?, row.parse("item_version")?))
    }

    fn key(row: &Row<'_>) -> Result<ItemKey> {
        let key = ItemKey::from_pk_sk(&row.parse::<String>("pk")?, &row.parse::<String>("sk")?);
        key.map_err(|error| row.corrupt(error))
    }
}
