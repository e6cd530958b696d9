package streamhandler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/streamhandler"
)

// A time that a message cannot contain is omitted.
func TestTimesThatDoNotFitAMessage(t *testing.T) {
	for number, want := range map[string]time.Time{
		"1479499740": time.Unix(1479499740, 0).UTC(), "1.479499740E9": time.Unix(1479499740, 0).UTC(),
		"1479499740.9": time.Unix(1479499740, 0).UTC(),
		"0":            {}, "-5": {}, "1e18": {}, "1e400": {}, "999999999999": {}, `"1479499740"`: {}, "null": {},
		"{}": {},
	} {
		got := invoked(t, []byte(`{"Records":[{"dynamodb":{"ApproximateCreationDateTime":`+number+
			`,"Keys":{"namespace":{"S":"features"},"key":{"S":"a"}}}}]}`))
		require.Empty(t, got.err, number)
		assert.Equal(t, want, got.messages[0].Changes[0].Time, number)
	}
}

// JSON parsers differ for surrogate pairs, duplicate names, large numbers and invalid UTF-8.
func TestTextsAreDecodedExactly(t *testing.T) {
	for quoted, want := range map[string]string{
		`"\ud83d\ude00"`: "\U0001F600", `"\ud83d\ude00\ud83d\ude00"`: "\U0001F600\U0001F600",
		`"\u00e9"`: "é", `"é"`: "é", `"a\/b"`: "a/b", `"\"\\\t"`: "\"\\\t",
		// A message cannot contain these: the records are skipped.
		`"\ud83d"`: "", `"\ude00\ud83d"`: "", "\"\xff\"": "", `"\ufffd"`: "",
	} {
		got := invoked(t, []byte(`{"Records":[{"eventName":"INSERT",
			"dynamodb":{"Keys":{"namespace":{"S":"features"},"key":{"S":"x"},"key":{"S":`+quoted+`}},
			"NewImage":{"item":{"S":"{}"},"version":{"N":"1"},"version":{"N":"9007199254740993"}}}}]}`))
		require.Empty(t, got.err, quoted)
		if want == "" {
			assert.Equal(t, 1, got.stats.Skipped[streamhandler.SkippedMalformed], quoted)
			continue
		}
		assert.Equal(t, want, got.messages[0].Changes[0].Key, quoted)
		assert.Equal(t, 9007199254740993, got.messages[0].Changes[0].Version)
	}
}
