//! Whom consumers log in as: two twins that take turns, or a fresh user for each generation.

use handover_core::{Slot, Slots};

use crate::shared::Text;

/// The most digits that a slot's number has.
const DIGITS_MAX: usize = 10;

/// The users of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Users {
    /// Two that take turns, in the order of their slots. They stay for ever.
    Twins([Text; 2]),
    /// One for each slot, named by this and the slot's number. They come and go.
    Versioned(Text),
}

impl Users {
    /// The name of the user in `slot`; `None` if there is no such slot.
    pub(super) fn name(&self, slot: Slot) -> Option<String> {
        match self {
            Self::Twins(twins) => {
                usize::try_from(slot.0).ok().and_then(|index| twins.get(index)).map(ToString::to_string)
            }
            Self::Versioned(stem) => Some(format!("{stem}{slot}")),
        }
    }

    /// How many generations there is room for.
    pub(super) const fn slots(&self) -> Slots {
        match self {
            Self::Twins(_) => Slots::Fixed(2),
            Self::Versioned(_) => Slots::Fresh,
        }
    }
}

/// The slot of the versioned user of this name; `None` if it is none of this stem's.
pub(super) fn slot_of(stem: &str, name: &str) -> Option<Slot> {
    let number = name.strip_prefix(stem)?;
    let slot = Slot(number.parse().ok()?);
    // A sign or a leading zero would make two names of one slot.
    (slot.to_string() == number).then_some(slot)
}

/// What is wrong with the part of the name before the number.
pub(super) fn wrong_with_stem(stem: &str, name_bytes_max: usize) -> Option<String> {
    if stem.len() + DIGITS_MAX > name_bytes_max {
        return Some(format!(
            "versioned has at most {} bytes, so that the name with its number has at most {name_bytes_max}",
            name_bytes_max - DIGITS_MAX
        ));
    }
    stem.ends_with(|last: char| last.is_ascii_digit())
        .then(|| "versioned must not end with a digit, which the number follows; append _v".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_slot_are_one_to_one() {
        let users = Users::Versioned("app_v".into());
        for slot in [0, 1, 7, 10, u32::MAX] {
            let name = users.name(Slot(slot)).unwrap();
            assert_eq!(slot_of("app_v", &name), Some(Slot(slot)), "{name}");
        }
        for name in
            ["app_v", "app_v01", "app_v+1", "app_v-1", "app_v1 ", "app_v4294967296", "app_vx", "app", "other_v1"]
        {
            assert_eq!(slot_of("app_v", name), None, "{name}");
        }
    }

    #[test]
    fn a_stem_leaves_room_for_the_number() {
        assert_eq!(wrong_with_stem(&"x".repeat(53), 63), None);
        assert!(wrong_with_stem(&"x".repeat(54), 63).unwrap().contains("at most 53 bytes"));
        assert!(wrong_with_stem("app_v1", 63).is_some());
    }
}
