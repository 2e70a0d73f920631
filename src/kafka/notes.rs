//! What is committed beside an offset, in its metadata: of which topic it is, and under which leader it was read.
//!
//! An offset alone says nothing once its topic was deleted and made again, or has lost its end and grown anew: it lies within
//! the new log and means another record.

use std::fmt;

use super::native::TopicId;

/// Reads as `topic-id=Ki3xXsVZQkSW0S-CpcIdrQ leader-epoch=3`; what is not known is left out. handback 0.1.0 wrote none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// The id of the topic that was read.
    pub(super) topic_id: Option<TopicId>,
    /// The epoch of the leader that wrote the record before the offset, or the one at it.
    pub(super) leader_epoch: Option<i32>,
}

impl Note {
    /// Takes what it knows; all else, also what others may write there, is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut note = Self::default();
        for (name, value) in text.split_ascii_whitespace().filter_map(|part| part.split_once('=')) {
            match name {
                "topic-id" => note.topic_id = TopicId::parse(value),
                "leader-epoch" => note.leader_epoch = value.parse().ok().filter(|epoch| *epoch >= 0),
                _ => {}
            }
        }
        note
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic_id, leader_epoch } = self;
        if let Some(id) = topic_id {
            write!(f, "topic-id={id}")?;
        }
        if let Some(epoch) = leader_epoch {
            let space = if topic_id.is_some() { " " } else { "" };
            write!(f, "{space}leader-epoch={epoch}")?;
        }
        Ok(())
    }
}

/// Under which leaders records were read: the two latest epochs, each with the first offset read under it. Changes of leaders
/// are rare, and an offset from before the last two is committed without.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeaderEpochs {
    latest: Option<(i64, i32)>,
    earlier: Option<(i64, i32)>,
}

impl LeaderEpochs {
    /// As a commit's note tells of its offset.
    pub(super) fn starting(offset: Option<i64>, epoch: Option<i32>) -> Self {
        Self { latest: offset.zip(epoch), earlier: None }
    }

    /// A record was read.
    pub(super) fn read(&mut self, offset: i64, epoch: Option<i32>) {
        match (self.latest, epoch) {
            (Some((_, latest)), Some(epoch)) if latest == epoch => {}
            (before, Some(epoch)) => *self = Self { latest: Some((offset, epoch)), earlier: before },
            (_, None) => *self = Self::default(),
        }
    }

    /// The epoch to ask for, so that a log which has this offset's past says that it reaches to this offset: that of the
    /// record at it, or where that was not read yet, of the last one read.
    pub(super) fn at(&self, offset: i64) -> Option<i32> {
        [self.latest, self.earlier].into_iter().flatten().find(|(first, _)| *first <= offset).map(|(_, epoch)| epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_what_others_write_is_none() {
        let topic_id = TopicId::parse("Ki3xXsVZQkSW0S-CpcIdrQ");
        for (topic_id, leader_epoch) in [(topic_id, Some(3)), (topic_id, None), (None, Some(0)), (None, None)] {
            let note = Note { topic_id, leader_epoch };
            assert_eq!(Note::parse(&note.to_string()), note, "{note}");
        }
        for text in ["", "NO_METADATA", "topic-id=x leader-epoch=-1", "{\"topic-id\": 1}", "a=b c"] {
            assert_eq!(Note::parse(text), Note::default(), "{text}");
        }
    }

    #[test]
    fn the_epoch_of_an_offset_is_one_under_which_the_log_reached_it() {
        let mut epochs = LeaderEpochs::starting(Some(5), Some(1));
        assert_eq!(epochs.at(5), Some(1));
        epochs.read(5, Some(1));
        // 6 is a marker that the next leader wrote: the log of epoch 1 ends at 6, and 7 is none of its offsets.
        epochs.read(7, Some(2));
        assert_eq!([5, 6, 7, 8].map(|offset| epochs.at(offset)), [Some(1), Some(1), Some(2), Some(2)]);
        epochs.read(8, Some(4));
        assert_eq!([5, 7, 8, 9].map(|offset| epochs.at(offset)), [None, Some(2), Some(4), Some(4)]);
        epochs.read(9, None);
        assert_eq!(epochs.at(9), None, "a broker that tells none");
    }
}
