import Testing

@testable import WeirHTTP1

/// The table of byte classes against the grammar it stands for.
@Test func byteClassesFollowTheGrammar() {
    func set(_ text: String) -> Set<UInt8> { Set(text.utf8) }
    let alphanumeric = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    let unreserved = alphanumeric.union(set("-._~"))
    let token = alphanumeric.union(set("!#$%&'*+-.^_`|~"))
    let path = unreserved.union(set("!$&'()*+,;=:@")).union(set("[]|^"))
    let query = path.union(set("/?%`{}\\"))
    let hexadecimal = set("0123456789abcdefABCDEF")
    for byte in UInt8.min...UInt8.max {
        #expect(ByteClass.contains(byte, ByteClass.token) == token.contains(byte))
        #expect(ByteClass.contains(byte, ByteClass.path) == path.contains(byte))
        #expect(ByteClass.contains(byte, ByteClass.query) == query.contains(byte))
        #expect(ByteClass.contains(byte, ByteClass.host) == unreserved.contains(byte))
        #expect(ByteClass.contains(byte, ByteClass.hexadecimal) == hexadecimal.contains(byte))
        let isQuoted = byte == 9 || byte >= 0x20 && byte != 0x7F && byte != 0x22 && byte != 0x5C
        #expect(ByteClass.contains(byte, ByteClass.quoted) == isQuoted)
    }
}
