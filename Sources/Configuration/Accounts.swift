// Users and groups of this machine by name.

import Glibc

public enum Accounts {
    /// The id of a user: its number as written, or what the machine knows under the name; nil: nothing.
    public static func user(_ name: String) -> UInt32? {
        number(name) ?? getpwnam(name).map { $0.pointee.pw_uid }
    }

    public static func group(_ name: String) -> UInt32? {
        number(name) ?? getgrnam(name).map { $0.pointee.gr_gid }
    }

    private static func number(_ text: String) -> UInt32? {
        // The highest number means "leave it" to chown(2).
        text.utf8.allSatisfy { $0 &- 48 < 10 } ? UInt32(text).flatMap { $0 < .max ? $0 : nil } : nil
    }
}
