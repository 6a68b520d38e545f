// Who may connect to Unix sockets: the same keys for listeners and the admin listener.

/// Who may connect to a Unix socket; nil: as the process's umask, user and group have it.
public struct SocketAccess: Sendable, Equatable {
    /// Permission bits.
    public var mode: UInt32?
    /// Names or numbers.
    public var owner: Text?
    public var group: Text?

    public init() {}
}

extension SocketAccess {
    @Keys<SocketAccess> private static var list: [Key<SocketAccess>] {
        Key(
            "mode", FileMode(), \.mode,
            "Permission bits of the Unix sockets among the addresses, in octal; connecting needs the right to write. Without it the umask decides.",
            example: "mode: \"0660\"")
        Key(
            "owner", TextRule.account, \.owner,
            "Owner of the Unix sockets among the addresses: name or number. Another one than the user Weir runs as needs CAP_CHOWN.",
            example: "owner: www-data")
        Key(
            "group", TextRule.account, \.group,
            "Group of the Unix sockets among the addresses: name or number. Needs CAP_CHOWN, or that the user Weir runs as is in it.",
            example: "group: www-data")
    }

    static let keys = list

    /// "0660" or "660".
    static func mode(_ text: String) -> UInt32? {
        guard (3...4).contains(text.utf8.count), let value = UInt32(text, radix: 8), value <= 0o777 else {
            return nil
        }
        return value
    }
}

/// Permission bits.
private struct FileMode: ScalarForm {
    typealias Value = UInt32

    let syntax = "MODE"
    let expectation = "permission bits in octal such as \"0660\""
    var schema: [JSONMember] { SchemaText.pattern("^0?[0-7]{3}$") }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> UInt32 {
        guard let mode = SocketAccess.mode(scalar.value) else {
            throw ValueProblem(
                message: "\"\(scalar.value.clipped(60))\" is not a file's mode",
                expectation: "expected \(expectation)")
        }
        return mode
    }

    func print(_ value: UInt32) -> Node? {
        let digits = String(value, radix: 8)
        return .plain("\"" + String(repeating: "0", count: 4 - digits.utf8.count) + digits + "\"")
    }
}
