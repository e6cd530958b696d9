package expression

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// DynamoDB's numbers have up to 38 significant digits and magnitudes from 1e-130 to 9.99e125
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
const (
	maxDigits   = 38
	maxExponent = 126  // of the form 0.d × 10^exponent
	minExponent = -129 // the same
)

// number is a decimal: 0.digits × 10^exponent. Zero has no digits; digits neither begin nor end with a 0.
type number struct {
	negative bool
	digits   string
	exponent int
}

func parseNumber(s string) (number, error) {
	invalid := says("The parameter cannot be converted to a numeric value: %s", s)
	rest, n := s, number{}
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		n.negative, rest = rest[0] == '-', rest[1:]
	}
	mantissa, exponent, hasExponent := cutAny(rest, "eE")
	if hasExponent {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > 1000 || e < -1000 {
			return number{}, invalid
		}
		n.exponent = e
	}
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || hasPoint && whole == "" && fraction == "" || strings.Trim(digits, "0123456789") != "" {
		return number{}, invalid
	}
	n.exponent += len(whole)
	return n.normalize(digits)
}

// normalize trims zeros off digits and checks the limits.
func (n number) normalize(digits string) (number, error) {
	trimmed := strings.TrimLeft(digits, "0")
	n.exponent -= len(digits) - len(trimmed)
	n.digits = strings.TrimRight(trimmed, "0")
	switch {
	case n.digits == "":
		return number{}, nil
	case len(n.digits) > maxDigits:
		return number{}, says("Attempting to store more than 38 significant digits in a Number")
	case n.exponent > maxExponent:
		return number{}, says("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case n.exponent < minExponent:
		return number{}, says("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return n, nil
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// String is the number as DynamoDB returns it: without an exponent, leading or trailing zeros.
func (n number) String() string {
	sign := ""
	if n.negative {
		sign = "-"
	}
	switch {
	case n.digits == "":
		return "0"
	case n.exponent <= 0:
		return sign + "0." + strings.Repeat("0", -n.exponent) + n.digits
	case n.exponent >= len(n.digits):
		return sign + n.digits + strings.Repeat("0", n.exponent-len(n.digits))
	default:
		return sign + n.digits[:n.exponent] + "." + n.digits[n.exponent:]
	}
}

// plus adds, or with sign -1 subtracts.
func (n number) plus(m number, sign int64) (number, error) {
	low := min(n.exponent-len(n.digits), m.exponent-len(m.digits))
	sum := new(big.Int).Mul(m.scaled(low), big.NewInt(sign))
	sum.Add(sum, n.scaled(low))
	digits := new(big.Int).Abs(sum).String()
	return number{negative: sum.Sign() < 0, exponent: len(digits) + low}.normalize(digits)
}

// scaled is the number as a multiple of 10^low.
func (n number) scaled(low int) *big.Int {
	i, ok := new(big.Int).SetString("0"+n.digits+strings.Repeat("0", n.exponent-len(n.digits)-low), 10)
	if !ok {
		panic("a number's digits are digits")
	}
	if n.negative {
		i.Neg(i)
	}
	return i
}

// orderKey is a string whose byte order is the numbers' order.
func (n number) orderKey() string {
	if n.digits == "" {
		return "1"
	}
	magnitude := fmt.Sprintf("%04d%s", n.exponent+1000, n.digits)
	if !n.negative {
		return "2" + magnitude
	}
	complement := []byte(magnitude)
	for i, c := range complement {
		complement[i] = '9' - c + '0'
	}
	return "0" + string(complement) + "~" // fewer digits are greater: "~" is after any digit
}
