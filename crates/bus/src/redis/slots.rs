//! Which node of a Redis Cluster has a channel: the cluster's specification in forty lines.

/// How many slots there are.
pub const SLOTS: usize = 16_384;

/// A channel's slot: CRC-16 (XMODEM) of what stands between its first `{` and the next `}`, or of all of it.
pub fn slot(channel: &[u8]) -> usize {
    let tag = channel.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &channel[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    usize::from(crc16(tag.unwrap_or(channel))) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of `CLUSTER KEYSLOT`.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (channel, expected) in [
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(channel.as_bytes()), expected, "{channel}");
        }
    }
}
