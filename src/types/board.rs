//! The slots of the signal board, by name and by number.

macro_rules! board_slots {
    ($($(#[$doc:meta])* $slot:ident = $number:literal, $name:literal;)+) => {
        /// A slot of the signal board: one value of one analyst. The numbers stand in journals and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum BoardSlot { $($(#[$doc])* $slot = $number,)+ }

        impl BoardSlot {
            /// Every slot.
            pub const ALL: &'static [Self] = &[$(Self::$slot,)+];

            /// The slot of that number; `None` for one that is not known here, which a reader ignores.
            #[inline]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$slot),)+
                    _ => None,
                }
            }

            /// Its number in [`Signal::slot`](super::Signal::slot).
            #[inline]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The name used in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$slot => $name,)+ }
            }
        }
    };
}

board_slots! {
    /// Share of the gross exposure that slow risk allows, from 0 to 1.
    RiskScale = 0, "risk_scale";
    /// What the ghost trader permits.
    GhostPermit = 1, "ghost_permit";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_by_its_number_and_others_are_not() {
        for (idx, slot) in BoardSlot::ALL.iter().enumerate() {
            assert_eq!(usize::from(slot.number()), idx, "numbers are dense, so that they can index");
            assert_eq!(BoardSlot::from_number(slot.number()), Some(*slot));
        }
        assert_eq!(BoardSlot::from_number(BoardSlot::ALL.len() as u16), None);
        assert_eq!(BoardSlot::from_number(u16::MAX), None);
    }
}
