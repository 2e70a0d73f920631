//! Where the reading of a ledger begins and ends.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::Reader;
use crate::bridge::seams::ReadBack;
use crate::kafka::positions;

/// Bound of a look-up for one partition, which all others wait for. It is tried again.
const ONE_LOOKUP: Duration = Duration::from_secs(2);

impl Reader<'_> {
    /// Where to begin and where to end, for each: three requests for each leader, however many partitions there are. One by
    /// one, 512 partitions took 16 s (bench `scale`).
    pub(super) fn ranges(&self, asks: &[ReadBack]) -> Vec<Result<(i64, i64), KafkaError>> {
        if let [ask] = asks {
            return vec![self.range(ask)];
        }
        let within = self.spec.lookup_timeout;
        let topic = self.spec.topic.to_string();
        let named: Vec<_> = asks.iter().map(|ask| (topic.clone(), ask.partition)).collect();
        let marks = positions::watermarks(&self.consumer, &named, within);
        let mut since = TopicPartitionList::with_capacity(asks.len());
        asks.iter().for_each(|ask| self.add(&mut since, ask.partition, Offset::Offset(ask.since_ms)));
        let young: HashMap<i32, Offset> = self.consumer.offsets_for_times(since, within).map_or_else(
            |_| HashMap::new(),
            |found| {
                let well = found.elements().into_iter().filter(|element| element.error().is_ok());
                well.map(|element| (element.partition(), element.offset())).collect()
            },
        );
        let range = |(ask, name): (&ReadBack, &positions::Named)| match (marks.get(name), young.get(&ask.partition)) {
            (Some(marks), Some(young)) => Ok(range(ask, *marks, *young)),
            // Asked alone it says why.
            _ => self.range(ask),
        };
        asks.iter().zip(&named).map(range).collect()
    }

    fn range(&self, ask: &ReadBack) -> Result<(i64, i64), KafkaError> {
        let within = self.spec.lookup_timeout.min(ONE_LOOKUP);
        let marks = self.consumer.fetch_watermarks(&self.spec.topic, ask.partition, within)?;
        let asked = self.one(ask.partition, Offset::Offset(ask.since_ms));
        let by_time = self.consumer.offsets_for_times(asked, within)?;
        let elements = by_time.elements();
        let Some(element) = elements.first() else { return Err(KafkaError::OffsetFetch(Code::UnknownPartition)) };
        element.error()?;
        Ok(range(ask, marks, element.offset()))
    }
}

/// From which record to read and up to which. `young` is the first one as young as was asked for.
fn range(ask: &ReadBack, (low, high): (i64, i64), young: Offset) -> (i64, i64) {
    let wanted = i64::try_from(ask.max_records).map_or(low, |records| high - records);
    // A topic that was made anew begins again.
    let from = ask.from.filter(|from| (low..=high).contains(from)).unwrap_or(low);
    // "The end" is what brokers say when nothing is as young, and what librdkafka's mock says to every time: the number of
    // records bounds the reading then.
    let young = if let Offset::Offset(offset) = young { offset } else { low };
    (low.max(wanted).max(from).max(young), high)
}
