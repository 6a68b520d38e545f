// A hash that is the same tomorrow and in the next process, for endpoints and for the keys that choose them.
//
// FNV-1a over the bytes, its bits mixed afterwards: names that differ in the last digit would differ in the low bits
// only, and methods compare whole numbers. Not against anybody who chooses names to collide.

public enum StableHash {
    @inlinable
    public static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return mixed(hash)
    }

    /// Every bit of the result depends on every bit of the value (SplitMix64's last step).
    @inlinable
    public static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
