// JSON: in memory of exactly its length. What the reader takes is UTF-8, the tree takes it too (names that stand twice
// apart), and what the writer makes of the tree is read as the same tree. Any string that is written is read as itself.

import WeirJSON

private let limits = JSONLimits(depth: 32, bytes: 1 << 16, values: 1000)

/// What is wrong with a text, token by token; strings and numbers are looked at from every side.
private func error(_ text: UnsafeBufferPointer<UInt8>) -> JSONError? {
    var reader = JSONReader(text, limits: limits)
    do throws(JSONError) {
        var tokens = 0
        while true {
            switch try reader.next() {
            case .end:
                require(reader.depth == 0, "the end within something")
                return nil
            case .name(let string), .string(let string):
                let said = string.string
                require(String(validating: string.raw, as: UTF8.self) != nil, "not UTF-8")
                require(Array(said.utf8).withUnsafeBufferPointer { string.equals($0) }, "unequal to itself")
                require(string.hasEscapes || string.raw.elementsEqual(said.utf8), "changed without an escape")
            case .number(let number):
                if let whole = number.int64 {
                    require(JSONNumber(whole).int64 == whole, "another whole number")
                }
                _ = number.double
            default: break
            }
            tokens += 1
            require(reader.depth <= limits.depth, "too deep")
            require(tokens <= 3 * limits.values, "too many tokens")
        }
    } catch {
        require(error.offset <= text.count, "an error behind the text")
        return error
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    withExact(bytes, count) { exact in
        let text = UnsafeBufferPointer(start: exact, count: count)
        let refused = error(text)
        do throws(JSONError) {
            let value = try JSONValue(text, limits: limits)
            require(refused == nil, "the tree takes what the reader refuses")
            var writer = JSONWriter()
            writer.value(value)
            let again = try? JSONValue(writer.bytes, limits: JSONLimits(depth: 32, bytes: .max))
            require(again == value, "written as another tree")
        } catch {
            require(error == refused || error.violation == .duplicateName, "refused for two reasons")
        }
        // As a string, what is no UTF-8 replaced.
        let string = String(decoding: text, as: UTF8.self)
        let quoted = Array(JSONWriter.quoted(string).utf8)
        let back = (try? JSONValue(quoted, limits: JSONLimits(bytes: .max)))?.string
        require(back.map { $0.utf8.elementsEqual(string.utf8) } == true, "another string")
    }
    return 0
}
