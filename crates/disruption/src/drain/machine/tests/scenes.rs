//! One drain each, to the millisecond.
