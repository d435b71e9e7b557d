//! Reading which items there are, in segments that are read side by side.

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

    fn version(&self, row: Attributes) -> Result<(ItemKey, Version)> {
        let row = Row { table: &self.table, attributes: row };
        let key = ItemKey::from_pk_sk(&row.parse::<String>("pk")?, &row.parse::<String>("sk")?);
        Ok((key.map_err(|error| row.corrupt(error))?, row.parse("item_version")?))
    }
}
