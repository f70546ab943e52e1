package httpclient

import "time"

// Time is one that a service tells, in UTC: as RFC 3339 writes it, as Salesforce does (2027-10-31T15:31:46.000+0000), or a day, at
// whose beginning it then is. It is zero where none is told, or none that can be read.
type Time struct{ time.Time }

// UnmarshalJSON never fails, so that one odd date does not hide all else.
func (t *Time) UnmarshalJSON(text []byte) error {
	t.Time = time.Time{}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", time.DateOnly} {
		if parsed, err := time.Parse(`"`+layout+`"`, string(text)); err == nil {
			t.Time = parsed.UTC()
			return nil
		}
	}
	return nil
}
