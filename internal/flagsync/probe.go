package flagsync

import (
	"context"
	"errors"
	"fmt"
)

// Probe opens LaunchDarkly's stream with an SDK key, as a sync does, and returns how many flags and segments came. It
// writes nothing. It uses the options [StreamURI], [PayloadFilter], [HTTPClient], [Timeout] and [Logger].
//
// Its error wraps [ErrUnauthorized] when LaunchDarkly refuses the key, and never quotes the key.
func Probe(ctx context.Context, sdkKey string, list ...Option) (flags, segmentCount int, err error) {
	o := newOptions(list)
	if err := errors.Join(o.problems...); err != nil {
		return 0, 0, fmt.Errorf("probe LaunchDarkly: %w", err)
	}
	f := listen(ctx, o.connection, sdkKey, o.logger)
	defer f.close()
	if err := f.first(ctx, o.timeout); err != nil {
		return 0, 0, err
	}
	all, _ := f.take()
	for _, collection := range all {
		if collection.Kind == features {
			flags = len(collection.Items)
		} else {
			segmentCount = len(collection.Items)
		}
	}
	return flags, segmentCount, nil
}
