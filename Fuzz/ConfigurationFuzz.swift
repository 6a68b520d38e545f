// Configuration files: whatever the bytes, an answer comes in bounded time; a refusal has a place, and
// what is accepted prints.

import Configuration

@_silgen_name("__lsan_disable") private func leakCheckOff()
@_silgen_name("__lsan_enable") private func leakCheckOn()

/// Makes the definition of the language, every key of it, once per process, unseen by LeakSanitizer: it does not
/// recognise the tagged pointers of Swift's indirect enums and would report the whole definition.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer, _: UnsafeMutableRawPointer) -> CInt {
    leakCheckOff()
    _ = Configuration.referenceMarkdown()
    leakCheckOn()
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let text = Array(UnsafeBufferPointer(start: bytes, count: count))
    switch Configuration.parse(text, file: "fuzz.yaml") {
    case .success(let (configuration, warnings)):
        require(!configuration.listeners.isEmpty, "accepted without a listener")
        require(configuration.services.allSatisfy { !$0.endpoints.isEmpty }, "accepted without endpoints")
        require(warnings.allSatisfy { $0.severity == .warning }, "an error beside a configuration")
        require(!configuration.normalForm().isEmpty, "nothing to print")
    case .failure(let failure):
        require(!failure.errors.isEmpty, "refused without a reason")
        for error in failure.errors {
            require(error.line >= 1 && error.column >= 1, "no place: \(error.message)")
            require(!error.description.isEmpty, "no text")
        }
    }
    return 0
}
