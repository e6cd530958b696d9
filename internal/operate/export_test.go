package operate

// UnsignedBody is the body of doctor's request without a signature.
const UnsignedBody = unsignedBody
