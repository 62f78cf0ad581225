package distill

// Metrics are what was measured on a whole set. Rows count by their weight.
type Metrics struct {
	// Rows is the number of samples.
	Rows int
	// Loss and Terms are those of the run's terms.
	Loss  float64
	Terms []TermValue
	// Accuracy and Top5 are the shares of labelled rows whose label is the
	// student's first, or among its first five; NLL is the mean negative
	// log-likelihood of the labels in nats, and ECE the expected calibration
	// error over 15 bins of equal width (Guo et al. 2017, 1706.04599). NaN
	// where no row is labelled.
	Accuracy, Top5, NLL, ECE float64
	// Agreement is the share of rows where student and teacher have the same
	// first class, and TeacherKL the mean of KL(teacher || student) in nats at
	// T = 1. NaN without a teacher.
	Agreement, TeacherKL float64
}
