import WeirHTTPModel
import Testing

@Suite struct MaxForwardsTests {
    private func read(_ text: String) -> MaxForwards? {
        Array(text.utf8).withUnsafeBufferPointer { MaxForwards($0) }
    }

    @Test func countsDown() {
        #expect(read("10")?.next == 9)
        #expect(read("1")?.next == 0)
        #expect(read("0")?.next == nil)
        #expect(read("000")?.count == 0)
    }

    @Test func whatIsTooLargeIsTheLargest() {
        #expect(read("4294967295")?.count == .max)
        #expect(read("4294967296")?.count == .max)
        #expect(read("99999999999999999999999")?.next == 4_294_967_294)
    }

    @Test(arguments: ["", "-1", "+1", "1 ", "one", "1,2", "0x1"]) func whatIsNoNumberSaysNothing(
        _ text: String
    ) {
        #expect(read(text) == nil)
    }
}
