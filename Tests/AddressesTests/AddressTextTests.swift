import Testing
import WeirAddresses

@Suite struct AddressTextTests {
    @Test func everyOctetValueInEveryPlace() {
        for octet: UInt32 in 0...255 {
            for place: UInt32 in 0..<4 {
                let octets = (0..<4).map { $0 == place ? octet : 10 }
                let value = octets.reduce(0) { $0 << 8 | $1 }
                let text = octets.map(\.description).joined(separator: ".")
                #expect(IPAddress(v4: value).description == text)
            }
        }
    }
}
