"""Does the stand-in do what CuPy does? On a machine with a GPU: python -m tests.standin.conformance

Evaluates each expression below with both, prints those whose outcomes differ (a value, with its shape, dtype and whether
it is a device array; or an error, of any type) and fails if there are any. `x` and `y` are float32 matrices on the device,
`A` the same as x on the host, `cp`, `sl` and `sp` CuPy and its linalg and special modules.
"""

import importlib
import sys
import warnings

import numpy as np

from minigen.backend import to_host
from tests.standin.namespaces import cupy, linalg, special

HOST = np.arange(12, dtype=np.float32).reshape(4, 3) / 10

EXPRESSIONS = """
x+y | x+np.ones(3) | np.ones(3)+x | np.float32(2)*x | np.float64(2)*x | x*2 | x/2 | x**2 | 2**x | x@y.T | x@np.ones(3) | -x | x+None | x+[1,2,3]
x==x | x>None | x==None | x!=None | x==np.float32(.1) | x>np.array(.5) | x>np.ones(3) | x==[1,2,3] | 1-x | x//.3 | x%.3 | abs(x)
x.sum() | x.sum(axis=1) | x.mean(axis=0,keepdims=True) | x.var(ddof=1) | x.max(initial=0) | cp.max(x,initial=0) | cp.sum(x,where=x>0) | cp.sum([1,2]) | cp.mean([1.,2.])
x.std(correction=1) | cp.var(x,correction=1) | cp.sort(x,stable=True) | cp.argsort(x,stable=True) | np.max(x,axis=1,keepdims=True) | np.std(x,axis=0,ddof=1)
np.asarray(x) | np.array(x) | np.sum(x) | np.exp(x) | np.add(x,np.ones(3)) | np.add(np.ones(3),x) | np.add(x,[1,2,3]) | np.add(x,y,out=x) | np.linalg.norm(x) | np.where(x>.5,x,0.) | np.concatenate([x,y]) | np.concatenate([x,A])
np.einsum('ij,kj->ik',x,y) | np.zeros_like(x,shape=(2,)) | np.full_like(x,2,shape=()) | np.ones_like(x,shape=(2,)) | np.where(A>.5,x,0.) | np.where(True,x,0.) | np.count_nonzero(x) | np.allclose(x,y) | np.shape(x) | np.ndim(x) | np.maximum(x,0) | np.maximum.reduce(x) | np.add.reduce(x) | np.add.at(x,cp.asarray([0,0]),1.) | np.add.at(x,(cp.asarray([0,0]),1),1.) | np.add.at(x,slice(2),1.) | cp.add.at(x,(cp.asarray([0,0]),1),1.) | cp.add.at(cp.zeros(2,int),cp.asarray([0,0]),1) | np.logaddexp(x,y) | np.logaddexp.reduce(x)
np.broadcast_to(x,(2,4,3)) | np.lib.stride_tricks.sliding_window_view(x,2,axis=0) | np.take_along_axis(x,cp.argsort(-x,axis=1),axis=1) | np.pad(x,1) | np.expand_dims(x,0) | np.squeeze(x[None],axis=0) | np.moveaxis(x,0,1) | np.flip(x,0)
float(x[0,0]) | int(x[0,0]) | bool(x[0,0]) | bool(x) | x.item() | x[0,0].item() | x.tolist() | len(x) | len(x.sum()) | range(cp.asarray(3)) | [1,2,3][cp.asarray(1)] | hash(x.sum()) | f'{x.sum():.1f}' | x.device=='cpu' | iter(x.sum())
x[0,0] | x[0] | x[:,1] | x[x>.5] | x[[0,1]] | x[np.array([0,1])] | x[cp.asarray([0,1])] | x[cp.asarray([0,1]),cp.asarray([1,2])] | x[...,None] | x[::-1] | x.T | x.mT | x.flat | x.reshape(-1) | x.reshape((2,6)) | x.astype('f8').dtype | x.setflags | x.newbyteorder
cp.exp(x,where=x>0) | cp.exp(x,out=cp.empty_like(x)) | cp.exp(A) | cp.add(x,A) | cp.maximum(x,0.5) | cp.logaddexp.reduce(x) | cp.maximum.reduce(x) | cp.add.reduce(x,axis=1) | cp.add.reduce(x,initial=0) | cp.maximum.accumulate(x) | cp.add.accumulate(x,axis=0) | cp.add.outer(x[0],x[1]) | cp.multiply.reduce(x)
cp.einsum('ij,kj->ik',x,y) | cp.tensordot(x,y.T,1) | cp.dot(x,y.T) | cp.where(x>.5,x,0.) | cp.where(x>.5) | cp.clip(x,.1,.5) | cp.clip(x,min=.1) | cp.concatenate([x,y]) | cp.concatenate([x,A]) | cp.stack([x,y]) | cp.block([[x]]) | cp.split(x,2) | cp.array([x.sum(),y.sum()]) | cp.array([x,A]) | cp.asarray(['a']) | cp.asarray([None])
cp.sort(x,axis=0) | cp.argsort(x,axis=1) | cp.partition(x,1,axis=0).shape | cp.argpartition(x,1,axis=0).shape | cp.bincount(cp.asarray([0,1,1]),minlength=4) | cp.bincount(cp.asarray([0,1]),weights=x[0,:2]).dtype | cp.cumsum(x,axis=0) | cp.unique(cp.asarray([1,1,2])) | cp.searchsorted(x[:,0],cp.asarray([.2])) | cp.median(x) | cp.quantile(x,.5) | cp.histogram(x,bins=3)[0]
cp.pad(x,((1,1),(0,0)),'reflect') | cp.lib.stride_tricks.sliding_window_view(x,2,axis=0) | cp.repeat(x,2,axis=0) | cp.tril(x) | cp.diag(x[0]) | cp.cov(x.T) | cp.linspace(0,1,5) | cp.arange(3.) | cp.meshgrid(x[0],x[1]) | cp.full((2,),cp.inf) | cp.isfinite(x).all() | cp.allclose(x,x) | cp.array_equal(x,x) | cp.result_type(x,1.0) | cp.result_type(x,np.float64(1))
cp.nanquantile(x,.5) | cp.geomspace(1,2,3) | cp.insert(x,0,0) | cp.vecdot(x,x) | cp.unstack(x) | cp.errstate(all='ignore') | cp.linalg.multi_dot | cp.linalg.svdvals(x) | cp.linalg.vector_norm(x) | cp.log(cp.zeros(2)) | cp.exp(cp.full(2,1e3)) | sl.logm | sl.schur | sp.iv | sp.comb
cp.linalg.eigh(x.T@x)[0] | cp.linalg.svd(x).S | cp.linalg.svd(x)[1] | cp.linalg.cholesky(x.T@x+cp.eye(3,dtype='f')) | cp.linalg.solve(cp.eye(3),x.T) | cp.linalg.solve(cp.eye(3),cp.ones(3)) | cp.linalg.solve(cp.ones((2,1,1)),cp.ones((2,1))) | cp.linalg.solve(cp.ones((2,1,1)),cp.ones((1,1))) | cp.linalg.slogdet(cp.eye(3)) | cp.linalg.slogdet(cp.eye(3)).sign | cp.linalg.qr(x)[1].shape | cp.linalg.norm(x) | cp.linalg.expm | cp.linalg.cholesky(A) | cp.isfinite(cp.linalg.cholesky(-cp.eye(2))).all()
sl.solve_triangular(cp.eye(3),x.T,lower=True) | sl.expm(cp.eye(2)) | sl.sqrtm | sl.cho_factor | sp.logsumexp(x,axis=1) | sp.softmax(x,axis=1) | sp.erf(x) | sp.ndtri(x[1]) | sp.i0e(x) | sp.ive | sp.gammaln(x+1) | sp.zeta(2,x+1) | scipy.special.erf(x) | scipy.special.psi(x+1) | scipy.special.xlogy(x,y) | scipy.special.erf(A)
cp.random.default_rng(0).standard_normal((2,3),dtype='f').dtype | cp.random.default_rng(0).normal() | cp.random.default_rng(0).permutation(3) | cp.random.default_rng(0).choice(3) | cp.random.default_rng(0).shuffle(x) | cp.random.default_rng(0).spawn(2) | cp.random.default_rng(0).integers(0,5,size=3).dtype
cp.random.default_rng(0).random(3,dtype='f').dtype | cp.random.default_rng(0).uniform(-1,1,3).dtype | cp.random.default_rng(np.random.SeedSequence(1)).random(2).shape | cp.get_array_module(x) is cp | cp.get_array_module(A) is np | cp.fft.fft(x).shape
"""  # noqa: E501  a table of short expressions, many to a line


def expressions():
    """The expressions, one by one."""
    return [e.strip() for line in EXPRESSIONS.strip().split("\n") for e in line.split(" | ")]


def describe(value, cp):
    """A value in a form that can be compared."""
    if isinstance(value, (list, tuple)):
        return [describe(v, cp) for v in value]
    if isinstance(value, cp.ndarray):
        return "array", value.shape, str(value.dtype), np.round(to_host(value).astype(complex), 3).tolist()
    return type(value).__name__, str(value) if isinstance(value, (int, float, bool, str, np.dtype)) else ""


def outcome(expression, cp, sl, sp):
    """What an expression gives: ("value", …) or ("error", …)."""
    names = {"cp": cp, "sl": sl, "sp": sp, "np": np, "scipy": importlib.import_module("scipy"), "A": HOST}
    try:
        return "value", describe(eval(expression, names | {"x": cp.asarray(HOST.copy()), "y": cp.asarray(HOST + 1)}), cp)
    except Exception as error:
        return "error", type(error).__name__


def differences(cp, sl, sp):
    """(expression, CuPy's outcome, the stand-in's) for each expression on which they differ."""
    for expression in expressions():
        theirs, ours = outcome(expression, cp, sl, sp), outcome(expression, cupy, linalg, special)
        if theirs[0] != ours[0] or (theirs[0] == "value" and str(theirs) != str(ours)):
            yield expression, theirs, ours


def main():
    """Compare, print, and exit with 1 if anything differs."""
    warnings.simplefilter("ignore")
    importlib.import_module("scipy.special")
    found = list(differences(*map(importlib.import_module, ("cupy", "cupyx.scipy.linalg", "cupyx.scipy.special"))))
    for expression, theirs, ours in found:
        print(f"{expression:45s} CuPy {str(theirs)[:70]:70s} stand-in {str(ours)[:70]}")
    print(f"{len(expressions())} expressions, {len(found)} differ")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
