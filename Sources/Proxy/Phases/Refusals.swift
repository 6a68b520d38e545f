// Which reason a head that cannot be read is refused with; shared with `weir explain`.

import WeirHTTP1
import WeirResilience

extension Reason {
    /// The reason for a head that breaks the standard.
    public init(_ violation: Violation) {
        switch violation {
        case .versionUnsupported: self = .requestVersionUnsupported
        case .expectationUnknown: self = .requestExpectationUnknown
        default: self = .requestMalformed
        }
    }

    /// The reason for a head over a bound.
    public init(_ limit: HeadLimit) {
        self = limit == .target ? .requestTargetTooLong : .requestHeadTooLarge
    }
}
