// The Gaussian process of gaussian_process.py with the kernels of kernels.py, policy_kernel.py and trend_kernel.py: the
// same density of the same hyperparameters, up to a constant, which tests/search/test_stan_gp.py holds it to.
// stan_data.py makes the data. Any part of the kernel may be absent; its number of length scales is then 0.
//
// Hyperparameters, in this order: log length scales of the policy's blocks, of the real and of the categorical columns;
// logit t of real and categorical columns, if there are both; logit t of the policy and the rest, if there are both;
// log v of the policy's linear part; log v of the trends; log signal variance; log noise variance.

functions {
  vector squared_exponential(vector squared) {
    return exp(-squared / 2);
  }

  vector matern(vector squared) {
    // the root has no derivative at 0, where the kernel has one; 1e-12 is below what a Cholesky factor can tell
    vector[rows(squared)] root = sqrt(5 * squared + 1e-12);
    return (1 + root + square(root) / 3) .* exp(-root);
  }

  // half sum, half product, as the data choose t
  vector blend(vector a, vector b, real logit_t) {
    real t = inv_logit(logit_t);
    return (1 - t) / 2 * (a + b) + t * (a .* b);
  }
}

data {
  int<lower=1> n;
  vector[n] y; // standardised
  int<lower=0> policy_scales; // length scales of each part
  int<lower=0> real_scales;
  int<lower=0> categorical_scales;
  int<lower=0> features;
  matrix[n, features] x;
  array[features] int<lower=1, upper=policy_scales + real_scales + categorical_scales> scale; // that of each feature
  int<lower=0> trends;
  matrix[n, trends] h;
  int<lower=1> p;
  vector[p] prior_mean;
  vector<lower=0>[p] prior_std;
}

transformed data {
  int scales = policy_scales + real_scales + categorical_scales;
  int has_rest = real_scales + categorical_scales > 0;
  int entries = (n * (n + 1)) %/% 2; // of the lower triangle, with the diagonal
  matrix[entries, policy_scales] policy_squares = rep_matrix(0, entries, policy_scales);
  matrix[entries, policy_scales] policy_products = rep_matrix(0, entries, policy_scales);
  matrix[entries, real_scales] real_squares = rep_matrix(0, entries, real_scales);
  matrix[entries, categorical_scales] mismatches = rep_matrix(0, entries, categorical_scales);
  matrix[entries, trends] trend_products;
  array[n * n] int place; // in the triangle, of each entry of the matrix, column by column
  vector[n] zeros = rep_vector(0, n);
  {
    int e = 0;
    for (i in 1 : n) {
      for (j in 1 : i) {
        row_vector[scales] squares = rep_row_vector(0, scales);
        e += 1;
        place[(j - 1) * n + i] = e;
        place[(i - 1) * n + j] = e;
        for (f in 1 : features) {
          squares[scale[f]] += square(x[i, f] - x[j, f]);
          if (scale[f] <= policy_scales) {
            policy_products[e, scale[f]] += x[i, f] * x[j, f];
          }
        }
        policy_squares[e] = head(squares, policy_scales);
        real_squares[e] = head(tail(squares, real_scales + categorical_scales), real_scales);
        mismatches[e] = tail(squares, categorical_scales);
        trend_products[e] = h[i] .* h[j];
      }
    }
  }
}

parameters {
  vector[p] z; // hyperparameters in deviations from the prior: all of one size, as NUTS likes them
}

transformed parameters {
  vector[p] hyperparameters = prior_mean + prior_std .* z;
}

model {
  vector[scales] weights = exp(-2 * head(hyperparameters, scales));
  int next = scales;
  vector[entries] k = rep_vector(1, entries);
  if (real_scales > 0) {
    k = matern(real_squares * segment(weights, policy_scales + 1, real_scales));
  }
  if (categorical_scales > 0) {
    vector[entries] overlap = exp(-mismatches * tail(weights, categorical_scales));
    if (real_scales > 0) {
      next += 1;
      k = blend(k, overlap, hyperparameters[next]);
    } else {
      k = overlap;
    }
  }
  if (policy_scales > 0) {
    vector[entries] policy = squared_exponential(policy_squares * head(weights, policy_scales));
    next += has_rest + 1;
    policy += exp(hyperparameters[next]) * (policy_products * head(weights, policy_scales));
    if (has_rest) {
      k = blend(policy, k, hyperparameters[next - 1]);
    } else {
      k = policy;
    }
  }
  if (trends > 0) {
    k += trend_products * exp(segment(hyperparameters, next + 1, trends));
    next += trends;
  }
  k *= exp(hyperparameters[next + 1]);
  z ~ std_normal();
  y ~ multi_normal(zeros, add_diag(to_matrix(k[place], n, n), exp(hyperparameters[next + 2])));
}
