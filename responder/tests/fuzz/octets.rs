//! A buffer of fixed size, so that the loop allocates nothing.

/// Most octets of a message or a frame in here: a little more than the longest query that is taken.
pub const CAPACITY: usize = 1700;

/// Octets that are written, cut and spliced; what does not fit falls off the end.
#[derive(Clone)]
pub struct Octets {
    buffer: [u8; CAPACITY],
    length: usize,
}

impl Octets {
    /// No octets.
    pub fn new() -> Self {
        Self { buffer: [0; CAPACITY], length: 0 }
    }

    /// What is in it.
    pub fn get(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The same, to change.
    pub fn get_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// Octets in it.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Cuts it to `length`.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Adds octets at the end.
    pub fn push(&mut self, octets: &[u8]) {
        let room = CAPACITY - self.length;
        let octets = &octets[..octets.len().min(room)];
        self.buffer[self.length..self.length + octets.len()].copy_from_slice(octets);
        self.length += octets.len();
    }

    /// Adds a 16-bit number in network order.
    pub fn push_number(&mut self, value: u16) {
        self.push(&value.to_be_bytes());
    }

    /// A 16-bit number; zero beyond the end.
    pub fn number(&self, at: usize) -> u16 {
        self.get().get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// Writes a 16-bit number over what is there; nothing beyond the end.
    pub fn put_number(&mut self, at: usize, value: u16) {
        if let Some(two) = self.get_mut().get_mut(at..at + 2) {
            two.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Writes an octet over the one that is there; nothing beyond the end.
    pub fn put(&mut self, at: usize, value: u8) {
        if let Some(octet) = self.get_mut().get_mut(at) {
            *octet = value;
        }
    }

    /// Pushes what stands at `at` towards the end and puts `octets` in front of it.
    pub fn insert(&mut self, at: usize, octets: &[u8]) {
        let at = at.min(self.length);
        let octets = &octets[..octets.len().min(CAPACITY - at)];
        let length = (self.length + octets.len()).min(CAPACITY);
        self.buffer.copy_within(at..length - octets.len(), at + octets.len());
        self.buffer[at..at + octets.len()].copy_from_slice(octets);
        self.length = length;
    }

    /// Takes `count` octets out.
    pub fn remove(&mut self, at: usize, count: usize) {
        let at = at.min(self.length);
        let end = (at + count).min(self.length);
        self.buffer.copy_within(end..self.length, at);
        self.length -= end - at;
    }
}
